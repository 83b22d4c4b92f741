"""Folds: no leakage between neighbours, and rows that do not allow folds are refused."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from evo2_embed.analysis.probes.folds import inner_folds, make_folds
from evo2_embed.analysis.probes.probe import permuted
from evo2_embed.io.errors import InputError
from evo2_embed.settings.analyses import Probe
from hypothesis import given, settings
from hypothesis import strategies as st

SECTION = Probe(labels="x.bed", folds=3, gap=0)


def tiled(contigs, windows, size=100, stride=50, strands="+-", genome="g"):
    """Overlapping windows of several contigs, sorted as a dataset is."""
    rows = [
        (genome, f"c{c}", i * stride, i * stride + size, strand)
        for c in range(contigs)
        for i in range(windows)
        for strand in strands
    ]
    return pl.DataFrame(rows, schema=["genome", "contig", "start", "end", "strand"], orient="row")


def alternating(rows, values=("x", "y")):
    return np.array([values[i // 2 % len(values)] for i in range(rows)], object)


def distances(keys, some, others):
    """Bases between rows of one contig; negative where they overlap; far apart on other contigs."""
    start, end = keys["start"].to_numpy(), keys["end"].to_numpy()
    contig = (keys["genome"] + "/" + keys["contig"]).to_numpy()
    gaps = np.maximum(
        start[some][:, None] - end[others][None], start[others][None] - end[some][:, None]
    )
    return np.where(contig[some][:, None] == contig[others][None], gaps, 10**9)


@given(
    contigs=st.integers(1, 14),
    windows=st.integers(20, 60),
    stride=st.sampled_from([20, 50, 100, 130]),
    gap=st.sampled_from([0, 1, 100, 250]),
    group=st.sampled_from(["auto", "block", "contig"]),
    block=st.sampled_from([None, 120, 700]),
    numbers=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_neighbours_of_tested_rows_are_not_trained_on(
    contigs, windows, stride, gap, group, block, numbers
):
    keys = tiled(contigs, windows, stride=stride)
    labels = alternating(len(keys))
    if numbers:
        labels = np.arange(len(keys), dtype=float)
    probe = replace(SECTION, gap=gap, group=group, block=block)
    if group == "contig" and contigs < 3:
        with pytest.raises(InputError, match="3 folds need at least as many contigs"):
            make_folds(keys, labels, probe)
        return
    try:
        folds = make_folds(keys, labels, probe)
    except InputError as error:
        assert "probe.gap" in str(error) or "fewer folds" in str(error)  # noqa: PT017
        return
    assert folds.by == ("contig" if group == "contig" else folds.by)
    tested = np.concatenate([test for _, test in folds.splits])
    assert sorted(tested) == list(range(len(keys)))
    for train, test in folds.splits:
        assert not set(folds.groups[train]) & set(folds.groups[test])
        apart = distances(keys, train, test).min(axis=1)
        assert apart.min() >= gap
        rest = np.setdiff1d(np.arange(len(keys)), np.concatenate([train, test]))
        if len(rest):
            assert (distances(keys, rest, test).min(axis=1) < gap).all()
    again = make_folds(keys, labels, probe)
    for one, other in zip(folds.splits, again.splits, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_contigs_are_groups_if_there_are_enough_else_blocks():
    probe = replace(SECTION, gap=100)
    many = tiled(12, 6)
    assert make_folds(many, alternating(len(many)), probe).by == "contig"
    few = tiled(11, 6)
    folds = make_folds(few, alternating(len(few)), probe)
    assert (folds.by, folds.block) == ("block", 200)  # two rows; a twentieth would be 65
    one_large = pl.concat([tiled(1, 80), tiled(20, 3, genome="h")])
    assert make_folds(one_large, alternating(len(one_large)), probe).by == "block"
    long = tiled(1, 600)
    assert make_folds(long, alternating(len(long)), probe).block == -(-(599 * 50 + 100) // 60)


def test_genomes_are_groups_if_asked_for():
    keys = pl.concat([tiled(2, 5, genome=name) for name in "ghijk"])
    folds = make_folds(keys, alternating(len(keys)), replace(SECTION, group="genome"))
    for _, test in folds.splits:
        names = keys[test]["genome"].unique().to_list()
        assert sum(keys["genome"].is_in(names)) == len(test)


def refused(keys, labels, **changes):
    with pytest.raises(InputError) as error:
        make_folds(keys, labels, replace(SECTION, **{"gap": 100, **changes}))
    assert "\n" not in str(error.value)
    return str(error.value)


def test_rows_that_do_not_allow_folds_are_refused_with_advice():
    keys = tiled(2, 40)
    labels = alternating(len(keys))
    assert "no row gets a label" in refused(keys[:0], labels[:0])
    assert "all 160 labelled rows have the label 'x'" in refused(keys, np.full(160, "x", object))
    assert "have the number '1.0'" in refused(keys, np.ones(160))
    assert "there are 2 (allowed: fewer folds, or probe.group: block)" in refused(
        keys, labels, group="contig"
    )
    assert "there are 1 (allowed: fewer folds, or probe.group: contig or block)" in refused(
        keys, labels, group="genome"
    )
    rare = labels.copy()
    rare[:6] = "z"
    assert "label 'z' has 6 rows in 1 blocks, too few for 3 folds" in refused(keys, rare)
    assert "fold 1 of 3 has no row of label 'x' to train on" in refused(keys, labels, gap=5000)


def test_inner_folds_divide_no_group_and_drop_those_of_one_label():
    groups = np.repeat(np.arange(12), 4)
    labels = np.array(["x", "y"] * 24, object)
    splits = inner_folds(labels, groups, 3)
    assert len(splits) == 3
    for train, test in splits:
        assert not set(groups[train]) & set(groups[test])
    assert inner_folds(labels, groups % 2, 3) == []
    labels[4:] = "x"
    assert inner_folds(labels, groups, 3) == []


def test_permuted_labels_keep_the_counts_of_every_fold():
    keys = tiled(1, 200)
    labels = alternating(len(keys), ("x", "y", "z"))
    folds = make_folds(keys, labels, replace(SECTION, gap=100))
    shuffled = permuted(labels, folds)
    assert 0.5 < np.mean(shuffled != labels) < 0.8
    for _, test in folds.splits:
        assert sorted(shuffled[test]) == sorted(labels[test])
    assert np.array_equal(shuffled, permuted(labels, folds))
