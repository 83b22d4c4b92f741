"""Datasets of versions without part files per bundle: made again, or the run stops and says why."""

import shutil
from pathlib import Path

import pytest
from evo2_embed.run.frozen import plan_run
from evo2_embed.run.older import older_faults, older_lines
from runs import random_bases, write_fasta

RESULTS = Path("results")


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run with a dataset of an earlier version, and the record of a shard."""
    monkeypatch.chdir(tmp_path)
    write_fasta("a.fa", [("a", random_bases(500, 1))])
    Path("sheet.tsv").write_text("genome\tfasta\na\ta.fa\n")
    for path in ("embeddings/x/norm/part-00000.parquet", "shards/x/a/00000/shard.json"):
        (RESULTS / path).parent.mkdir(parents=True)
        (RESULTS / path).touch()
    extractions = {name: {"layers": ["norm"]} for name in ("x", "y")}
    return plan_run({"genomes": "sheet.tsv", "extractions": extractions})


def test_a_dataset_is_made_again_from_its_shards_and_a_line_says_so(run):
    assert older_faults(run, RESULTS) == []
    (line,) = older_lines(run, RESULTS)
    assert line.startswith("results/embeddings/x: made by an earlier version as a whole")
    assert "nothing is embedded" in line


def test_a_dataset_without_shards_stops_the_run(run):
    shutil.rmtree(RESULTS / "shards")
    (line,) = older_faults(run, RESULTS)
    assert "its shards are gone (results/shards/x); move it out of results to keep it" in line


def test_datasets_of_today_say_nothing(run):
    folder = RESULTS / "embeddings/x/norm"
    (folder / "part-00000.parquet").rename(folder / "part-00000-a-00000.parquet")
    shutil.rmtree(RESULTS / "shards")
    assert older_faults(run, RESULTS) == older_lines(run, RESULTS) == []
