"""One form of each path, so that a moved or rewritten path redoes nothing."""

import os
import shutil

import pytest
from evo2_embed.run.frozen import RUN_CONFIG, freeze, plan_run
from runs import CONFIG, merged, write_fasta

NAMES = ["plain.fa", "with blank " + "x" * 90 + ".fa", "'quoted' #1.fa", "1e3"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    folder = tmp_path / "project"
    (folder / "data").mkdir(parents=True)
    for name in NAMES:
        write_fasta(folder / "data" / name, [("x", "ACGT" * 100)])
    write_fasta(tmp_path / "outside.fa", [("x", "ACGT" * 100)])
    monkeypatch.chdir(folder)
    return folder


def planned(paths, **changes):
    rows = [f"g{number}\t{path}\n" for number, path in enumerate(paths)]
    with open("genomes.tsv", "w") as sheet:
        sheet.writelines(["genome\tfasta\n", *rows])
    run = plan_run(merged(CONFIG, changes))
    return run, [g.fasta for bundle in run.bundles.values() for g in bundle.genomes]


def test_a_path_in_the_working_directory_is_relative(folder):
    assert planned([folder / "data" / name for name in NAMES])[1] == [f"data/{n}" for n in NAMES]
    outside = folder.parent / "outside.fa"
    assert planned([outside, "../outside.fa"])[1] == [str(outside), "../outside.fa"]
    assert planned(["./data/plain.fa"])[1] == ["./data/plain.fa"]


@pytest.mark.parametrize("form", [os.path.abspath, os.path.relpath, os.path.realpath])
def test_a_path_keeps_its_form_of_the_earlier_run(folder, form):
    os.symlink("..", "link")
    paths = [*(form(f"data/{name}") for name in NAMES), "link/outside.fa"]
    shutil.copy("data/plain.fa", "weights.pt")
    run, first = planned(paths, model={"checkpoint": os.path.abspath("weights.pt")})
    freeze(run, RUN_CONFIG)
    again = [*(os.path.relpath(path) for path in paths[:-1]), folder.parent / "outside.fa"]
    run_again, second = planned(again, model={"checkpoint": "weights.pt"})
    assert second == first
    assert run_again.models == run.models
