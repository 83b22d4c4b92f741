"""The example configurations: each is planned as `make plan` does it. Three of the folders also run
as they stand, in tests/workflow/test_region_examples.py."""

import json
import shutil

import pytest
import show_plan
from evo2_embed.io.text import COLUMNS
from runs import ROOT, random_bases, write_fasta

EXAMPLES = ROOT / "config" / "examples"
FILES = sorted(path.name for path in EXAMPLES.glob("*.yaml"))
FOLDERS = sorted(path.parent.name for path in EXAMPLES.glob("*/genomes.tsv"))
LENGTH, GENES = 400_000, [(1_000, 2_500), (30_000, 30_900)]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A folder with the configurations of this repository, and a genome with genes."""
    folder = tmp_path_factory.mktemp("project")
    shutil.copytree(ROOT / "config", folder / "config", ignore=shutil.ignore_patterns("results"))
    shutil.copytree(ROOT / "resources", folder / "resources")
    write_fasta(folder / "g.fa", [("chr1", random_bases(LENGTH, 1))])
    lines = [f"chr1\tx\tCDS\t{start + 1}\t{end}\t.\t+\t0\tID=c{start}" for start, end in GENES]
    (folder / "config/labels.gff3").write_text("##gff-version 3\n" + "\n".join(lines) + "\n")
    (folder / "genes.bed").write_text("".join(f"chr1\t{start}\t{end}\n" for start, end in GENES))
    return folder


@pytest.fixture
def plan(project, monkeypatch):
    """A function that gives the plan of a configuration, as numbers."""

    def plan(path, regions=""):
        monkeypatch.chdir(project)
        sheet = f"genome\tfasta\tregions\ng\tg.fa\t{regions}\n"
        (project / "config/genomes.tsv").write_text(sheet)
        return planned(path, ".")

    return plan


def planned(path, folder):
    """The plan as numbers; as text, it fits the terminal."""
    text = show_plan.main(path, folder, False)
    assert max(map(len, text.splitlines())) <= COLUMNS
    # Where the first call went to the folder.
    return json.loads(show_plan.main(path, ".", True))


def test_every_example_is_in_the_list():
    listed = (EXAMPLES / "README.md").read_text()
    assert [name for name in FILES if f"]({name})" not in listed] == []
    assert [name for name in FOLDERS if f"]({name}/README.md)" not in listed] == []


@pytest.mark.parametrize("name", FILES)
def test_files_are_planned_for_whole_genomes_or_regions(name, plan):
    found = plan(f"config/examples/{name}", "genes.bed" if name == "per_base.yaml" else "")
    assert not [line for line in found["warnings"] if "computed" in line]
    layers = {entry["layer"] for entry in found["layers"]}
    assert len(layers) >= (8 if name == "layers.yaml" else 1)
    tokens = found["totals"]["tokens"]
    bases = 2 * LENGTH
    if name == "per_base.yaml":
        bases = 2 * sum(end - start for start, end in GENES)
        assert {entry["rows"] for entry in found["layers"]} == {bases}
        assert bases < tokens <= bases + 2 * len(GENES) * 4096
    elif name == "long_context.yaml":
        assert bases < tokens < 1.1 * bases
    else:
        assert tokens == bases


@pytest.mark.parametrize("name", FOLDERS)
def test_folders_are_planned_as_they_stand(name, project, monkeypatch):
    monkeypatch.chdir(project)
    found = planned("config/config.yaml", f"config/examples/{name}")
    assert found["totals"]["tokens"] > 0
