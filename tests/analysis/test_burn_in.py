"""The burn-in: which stretches run, and how similar their embeddings are."""

import numpy as np
import polars as pl
import pytest
from evo2_embed.analysis.burn_in.curves import (
    SETTLED,
    describe,
    group_edges,
    pair_rows,
    settled_from,
)
from evo2_embed.analysis.burn_in.limits import MIN_LENGTH, ROW, longest_context
from evo2_embed.analysis.burn_in.stretches import stretch_bounds
from evo2_embed.settings.extraction import Extraction, Model
from evo2_embed.settings.jobs import Packing
from evo2_embed.settings.settings import Settings

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("length", [MIN_LENGTH, 1100, 5000, 16384, 100_001])
@pytest.mark.parametrize("starts", [1, 3, 8, 64])
def test_short_stretches_start_in_the_second_half_of_the_longest_and_end_within_it(length, starts):
    stretches = stretch_bounds(length, starts)
    (begin, end), short = stretches[0], stretches[1:]
    assert begin == 0
    assert length - 4 * ROW < end <= length
    assert 1 <= len(short) <= starts
    assert (np.diff(short[:, 0]) > 0).all()
    assert (short[:, 0] >= end // 2).all()
    assert (short[:, 1] - short[:, 0] == end // 4).all()
    assert short.max() <= end
    assert (stretches % ROW == 0).all()


@pytest.mark.parametrize(
    ("changes", "most"),
    [
        ({}, 16384),
        ({"bos": True}, 16384),
        ({"strategy": "padded"}, 3000),
        ({"engine": "stock"}, 3000),
        ({"engine": "stock", "piece": 2000, "bos": True}, 1999),
        ({"model": "evo2_7b_base"}, 8192),
        ({"model": "evo2_7b_base", "bos": True}, 8191),
    ],
)
def test_the_longest_context_is_one_that_the_extraction_can_run(changes, most):
    changes = {"model": "evo2_tiny", "engine": "packed", **changes}
    model, engine = Model(name=changes.pop("model")), changes.pop("engine")
    settings = Settings(
        genomes="-",
        packing=Packing(**{"max_tokens": 3000, "piece": 3000, **changes}),
        extractions={"one": Extraction(layers=[], model=model, engine=engine)},
    )
    assert longest_context(settings, "one") == most


def made_up_keys(length, starts, strand, size=ROW):
    """Rows of `size` bases of all stretches, in any order."""
    rows = [
        (begin, at - begin)
        for begin, end in stretch_bounds(length, starts).tolist()
        for at in range(begin, end, size)
    ]
    begin, before = np.array(rows)[RNG.permutation(len(rows))].T
    start = begin + before if strand == "+" else 7000 - begin - before - size
    return pl.DataFrame(
        {"start": start, "end": start + size, "n_tokens": size, "context": before + size}
    )


@pytest.mark.parametrize("strand", ["+", "-"])
@pytest.mark.parametrize("size", [ROW, ROW // 4])
def test_rows_of_the_same_bases_are_paired(strand, size):
    keys = made_up_keys(4096, 5, strand, size)
    pairs = pair_rows(keys)
    rows = keys.with_columns(before=pl.col("context") - pl.col("n_tokens")).to_dicts()
    assert len(pairs.reference) == 4096 // size
    assert len(pairs.short) == 5 * 1024 // size == len(keys) - len(pairs.reference)
    assert set(pairs.longest) <= set(pairs.reference)
    for short, longest, before in zip(pairs.short, pairs.longest, pairs.before, strict=True):
        assert rows[short]["start"] == rows[longest]["start"]
        assert rows[short]["before"] == before < 1024
        assert rows[longest]["before"] - before >= 2048


def test_every_context_is_in_a_group_and_no_group_is_empty():
    for length in [*range(256, 3000, ROW), 4096, 25_024]:
        edges = group_edges(length)
        group = np.searchsorted(edges, np.arange(0, length, ROW), side="right") - 1
        assert edges[0] == 0
        assert edges[-1] == length
        assert np.array_equal(np.unique(group), np.arange(len(edges) - 1))


def made_up_layer(pairs, rows, until, share=1.0):
    """Embeddings that depend on the position alone; a share of the rows with less context than
    `until` have random ones instead. All have a large common mean."""
    values = RNG.normal(size=(rows, 24))
    odd = (pairs.before < until) & (RNG.random(len(pairs.before)) < share)
    values[pairs.short[~odd]] = values[pairs.longest[~odd]]
    return (values + 100).astype(np.float32)


def test_a_layer_is_settled_where_more_context_changes_nothing():
    keys = made_up_keys(16384, 8, "+")
    pairs, edges = pair_rows(keys), group_edges(4096)
    for until in (0, 256, 1024):
        found = describe(made_up_layer(pairs, len(keys), until), pairs, edges)
        assert found["settled"] == until
        low, median, high = np.transpose(found["centred"]["cosine"])
        assert (median[edges[:-1] < until] < 0.5).all()
        assert low[edges[:-1] >= until] == pytest.approx(1)
        assert (low <= median).all()
        assert (median <= high).all()
        # Not centred, all positions are similar, and the change would not show.
        assert np.abs(found["centred"]["apart"][1]) < 0.1
        assert found["raw"]["apart"][0] > 0.999
        assert np.min(found["raw"]["cosine"]) > 0.999
    assert describe(made_up_layer(pairs, len(keys), 4096), pairs, edges)["settled"] is None
    # If few rows still change, the median does not show it.
    found = describe(made_up_layer(pairs, len(keys), 512, share=0.2), pairs, edges)
    assert found["centred"]["cosine"][2][1] == pytest.approx(1)
    assert found["settled"] == 512


def test_a_layer_is_settled_only_if_it_stays_so():
    low, median = SETTLED
    good, edges = [low, median, 1], np.array([0, 32, 64, 96])
    assert settled_from([good] * 3, edges) == 0
    assert settled_from([good, [low, median - 0.01, 1], good], edges) == 64
    assert settled_from([good, [low - 0.01, median, 1], good], edges) == 64
    assert settled_from([good, good, [low - 0.01, 1, 1]], edges) is None
