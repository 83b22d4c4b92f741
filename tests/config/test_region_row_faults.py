"""What rules out rows of regions is found when the run starts, one line each."""

from pathlib import Path

import pytest
from evo2_embed.config.resolve import resolve
from evo2_embed.io.errors import InputError
from evo2_embed.model import registry
from runs import CONFIG, merged, random_bases, write_fasta


def line(start, end):
    """A region of one block."""
    return f"c\t{start}\t{end}\tx\t0\t+\t{start}\t{end}\t0\t1\t{end - start}\t0\n"


@pytest.fixture
def faults(tmp_path, monkeypatch):
    """A function that gives the faults of a run with a file of regions."""
    monkeypatch.chdir(tmp_path)
    write_fasta("g.fa", [("c", random_bases(30_000, 1))])
    Path("labels.bed").write_text("c\t0\t9\tx\n")

    def faults(others=False, **changes):
        Path("r.bed").write_text(line(10, 60) + line(100, 2100))
        more = "h\tg.fa\t\n" if others else ""
        Path("genomes.tsv").write_text(f"genome\tfasta\tregions\ng\tg.fa\tr.bed\n{more}")
        try:
            resolve(merged(CONFIG, changes))
        except InputError as error:
            return str(error).splitlines()
        return []

    return faults


def test_regions_longer_than_a_pack_are_right(faults):
    assert faults() == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"packing": {"strategy": "padded"}},
            "r.bed: line 2: a region of 2,000 bases cannot run in segments with packing.strategy: "
            "padded (allowed: at most 1,000 tokens; set a larger packing.max_tokens)",
        ),
        (
            {"packing": {"strategy": "padded", "bos": True}, "regions": {"flank": 7}},
            "r.bed: line 2: a region of 2,000 bases and 8 tokens before it cannot run",
        ),
        ({"export": "finetune"}, "cannot run in segments with export: finetune"),
        (
            {"export": "finetune", "packing": {"max_tokens": 2100}, "finetune": {"block": 1000}},
            "line 2: a region reaches over 2,000 bases, more than finetune.block: 1000",
        ),
        (
            {"export": "finetune", "packing": {"max_tokens": 2100}, "regions": {"flank": 1}},
            "regions.flank: 1 does not work with export: finetune",
        ),
        (
            {"regions": {"splice": True}, "probe": {"labels": "labels.bed"}},
            "probe: spliced regions cannot be labelled by intervals",
        ),
    ],
)
def test_what_cannot_take_rows_of_regions_says_so(faults, changes, said):
    (fault,) = faults(**changes)
    assert said in fault


def test_a_region_beyond_the_training_context_needs_a_word(faults, monkeypatch):
    monkeypatch.setattr(registry, "context_length", lambda name: 1999)
    (fault,) = faults()
    assert "line 2: a region of 2,000 bases is more than the training context of" in fault
    assert faults(windows={"context": {"beyond_training": True}}) == []


def test_bounds_of_windows_hold_only_where_sequences_are_cut_into_windows(faults):
    bins = {"bins": {"layers": ["norm"], "pooling": {"bin": 500}}}
    assert faults(extractions=bins, windows={"min_length": 300}) == []
    found = faults(extractions=bins, windows={"min_length": 300}, others=True)
    assert ["windows.min_length: 300" in line for line in found] == [True, False]
    assert "pooling.bin: 500 is more than windows.size" in found[1]
