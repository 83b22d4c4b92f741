"""The notebooks of examples/, each run whole on one run of their configuration."""

import shutil

import nbformat
import pytest
from run_notebooks import HERE, NOTEBOOKS, run_notebook, run_workflow

MOST_BYTES = 300_000


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the results of the workflow for the notebooks."""
    folder = tmp_path_factory.mktemp("examples") / "examples"
    kept = shutil.ignore_patterns("results", "logs", "benchmarks", ".snakemake")
    shutil.copytree(HERE, folder, ignore=kept)
    run_workflow(folder)
    return folder


def shown(notebook):
    """What the cells show: per cell, the kinds of each of its outputs."""
    outputs = [cell.outputs for cell in notebook.cells if cell.cell_type == "code"]
    return [[sorted(each.get("data", ["text"])) for each in cell] for cell in outputs]


def test_there_are_three_notebooks():
    assert NOTEBOOKS == ["coding.ipynb", "genes.ipynb", "genomes.ipynb"]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs_whole_and_the_kept_one_shows_the_same_kinds(folder, name):
    kept = nbformat.read(HERE / name, as_version=4)
    again = run_notebook(HERE / name, folder)
    assert shown(again) == shown(kept)
    assert any("image/png" in kinds for cell in shown(kept) for kinds in cell)
    streams = [
        each.name for cell in again.cells for each in cell.get("outputs", []) if "name" in each
    ]
    assert "stderr" not in streams, "a warning"


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_is_small_and_says_what_the_bundled_model_cannot_show(name):
    assert (HERE / name).stat().st_size < MOST_BYTES
    first = nbformat.read(HERE / name, as_version=4).cells[0].source
    assert "**What the bundled model cannot show:**" in first
