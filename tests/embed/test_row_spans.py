"""Rows of windows that run segment by segment: found, pooled, and run again after a kill."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from evo2_embed.embed import row_spans
from evo2_embed.embed.pooling import Pooler
from evo2_embed.embed.row_spans import POOLED, WHOLE, RowLocator
from evo2_embed.embed.rows import ShardRows
from evo2_embed.embed.run_packs import _pool
from evo2_embed.embed.wanted import wanted_segments
from evo2_embed.io.errors import InputError
from evo2_embed.io.parts import Parts
from evo2_embed.pack.assign import Forks, cut_segments, edges_of
from evo2_embed.settings.extraction import bin_of
from hypothesis import given, settings
from hypothesis import strategies as st

POOLINGS = ["mean", "max", "first", "last", {"center": 1}, {"center": 8}, {"bin": 1}, {"bin": 7}]


@st.composite
def shards(draw):
    """Chunks of a shard: windows of one contig on both strands, a few stretches of each."""
    chunks, lengths = [], []
    for stretch in range(draw(st.integers(1, 4))):
        origin, strand = draw(st.integers(0, 50)), draw(st.sampled_from("+-"))
        windows = draw(
            st.lists(st.tuples(st.integers(0, 60), st.integers(1, 40)), min_size=1, max_size=8)
        )
        for first, length in windows:
            start = origin + first if strand == "+" else origin + 100 - first - length
            chunks.append((start, start + length, strand, stretch, first + length))
        lengths.append(max(first + length for first, length in windows))
    return chunks, np.array(lengths)


def shard_rows(chunks, pooling, skip_first=0):
    start, end, strand, stretch, context = zip(*chunks, strict=True)
    text = {key: np.full(len(chunks), "x", object) for key in ("genome", "contig", "name")}
    return ShardRows(
        {
            "chunk": np.arange(len(chunks)),
            "start": np.array(start),
            "end": np.array(end),
            "strand": np.array(strand, object),
            "stretch": 10 + np.array(stretch),
            "context": np.array(context),
            "parts": Parts.none(len(chunks)),
            **text,
        },
        pooling,
        skip_first,
    )


def token_values(stretch, places):
    """What a token of a stretch, other than by chance, has to itself: (n, 2)."""
    return np.stack([np.sin(stretch + 1.7 * places), np.cos(3 * stretch + places)], 1)


def pooled(vectors, pooling, strand, skipped):
    """By number of a row of a window, its vector, from the vectors of the window's tokens."""
    kept = np.arange(len(vectors)) >= skipped
    if pooling in ("mean", "max", "first", "last"):
        some = vectors[kept]
        how = {"first": lambda: some[0], "last": lambda: some[-1]}
        return {0: how.get(pooling, lambda: getattr(some, pooling)(0))()} if len(some) else {}
    if "center" in pooling:
        # In the order of the forward strand.
        forward = list(range(len(vectors)))[:: 1 if strand == "+" else -1]
        size = min(pooling["center"], len(forward))
        first = (len(forward) - size) // 2
        mine = [i for i in forward[first : first + size] if kept[i]]
        return {0: vectors[mine].mean(0)} if mine else {}
    number = np.arange(len(vectors)) // pooling["bin"]
    members = {i: np.flatnonzero(kept & (number == i)) for i in range(number[-1] + 1)}
    return {i: vectors[mine].mean(0) for i, mine in members.items() if len(mine)}


def packs_of(lengths, longest, budget, forks=None):
    """Segments of every pack: stretch, offset and cu_seqlens."""
    segments = cut_segments(lengths, longest, budget, forks)
    for first, stop in zip(segments.edges[:-1], segments.edges[1:], strict=True):
        yield {
            "stretch": 10 + segments.stretch[first:stop],
            "offset": segments.offset[first:stop],
            "cu_seqlens": edges_of(segments.length[first:stop]),
        }


@st.composite
def forked(draw):
    """Chunks of stretches and of their forks, tokens of all stretches, and the forks as (stretch,
    parent, bases before the fork)."""
    chunks, lengths = draw(shards())
    forks, lengths = [], lengths.tolist()
    for parent, strand in sorted({(stretch, strand) for _, _, strand, stretch, _ in chunks}):
        for _ in range(draw(st.integers(0, 3))):
            point = draw(st.integers(1, lengths[parent]))
            first, own = draw(st.integers(0, point)), draw(st.integers(1, 30))
            length, stretch = point + own - first, len(lengths)
            chunks.append((0, length, strand, stretch, point + own))
            forks.append((stretch, parent, point))
            lengths.append(own)
    return chunks, np.array(lengths), forks


@given(
    pooling=st.sampled_from(POOLINGS),
    shard=forked(),
    longest=st.integers(1, 50),
    more=st.integers(0, 60),
    bos=st.integers(0, 1),
    skip_first=st.sampled_from([0, 0, 0, 1, 5]),
)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_rows_of_forks_have_tokens_of_their_parents(pooling, shard, longest, more, bos, skip_first):
    chunks, lengths, forks = shard
    lasts = {stretch: (parent, point) for stretch, parent, point in forks}
    wanted, whole = {}, {}
    for chunk, (start, end, strand, stretch, context) in enumerate(chunks):
        parent, point = lasts.get(stretch, (stretch, 0))
        places = np.arange(context - end + start, context)
        vectors = token_values(10 + np.where(places < point, parent, stretch), places)
        wanted[chunk] = pooled(vectors, pooling, strand, int((places < skip_first).sum()))
        whole[chunk] = vectors.sum(0)
    if bin_of(pooling) is None and not all(wanted.values()):
        return
    rows = shard_rows(chunks, pooling, skip_first)
    table = np.array(forks, int).reshape(-1, 3) + [10, 10, bos]
    locator = RowLocator(rows, pooling, bos, table)
    of_forks = Forks(np.full(len(lengths), -1), np.zeros(len(lengths), int))
    for stretch, parent, point in forks:
        of_forks.parent[stretch], of_forks.offset[stretch] = parent, point + bos
    tokens = lengths + bos * (of_forks.parent < 0)
    poolers = {POOLED: Pooler(pooling), WHOLE: Pooler("sum")}
    found = {kind: np.full((rows.count, 2), np.nan) for kind in poolers}
    for pack in packs_of(tokens, longest, longest + more, of_forks):
        for kind, pooler in poolers.items():
            ended, values = pooler.pool(run(pack, bos), locator.spans(**pack, which=kind))
            assert np.isnan(found[kind][ended]).all()  # each row ends once
            assert sorted(ended) == sorted(locator.ended(**pack, which=kind))
            found[kind][ended] = values["norm"].numpy()
    assert not len(poolers[POOLED].open)
    for chunk, mine in wanted.items():
        index = rows.row_index(np.full(len(mine), chunk), np.array(list(mine), int))
        values = np.array(list(mine.values())).reshape(-1, 2)
        np.testing.assert_allclose(found[POOLED][index], values, rtol=1e-5, atol=1e-6)
        if not bin_of(pooling):
            np.testing.assert_allclose(found[WHOLE][index[0]], whole[chunk], rtol=1e-5, atol=1e-5)


def run(pack, bos):
    """Outputs of a pack, from an engine that knows each token by its place."""
    lengths = np.diff(pack["cu_seqlens"])
    values = [
        token_values(stretch, offset + np.arange(length) - bos)
        for stretch, offset, length in zip(pack["stretch"], pack["offset"], lengths, strict=True)
    ]
    return {"norm": torch.from_numpy(np.concatenate(values)).float()}


@given(
    pooling=st.sampled_from(POOLINGS),
    shard=shards(),
    longest=st.integers(1, 50),
    more=st.integers(0, 60),
    bos=st.integers(0, 1),
    skip_first=st.sampled_from([0, 0, 1, 5, 30]),
)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_rows_are_those_of_whole_stretches(pooling, shard, longest, more, bos, skip_first):
    chunks, lengths = shard
    wanted = {}  # by chunk
    for chunk, (start, end, strand, stretch, context) in enumerate(chunks):
        places = np.arange(context - end + start, context)
        vectors, skipped = token_values(10 + stretch, places), int((places < skip_first).sum())
        wanted[chunk] = pooled(vectors, pooling, strand, skipped)
    if bin_of(pooling) is None and not all(wanted.values()):
        with pytest.raises(InputError, match=f"skip_first: {skip_first} leaves nothing to pool"):
            shard_rows(chunks, pooling, skip_first)
        return
    rows = shard_rows(chunks, pooling, skip_first)
    locator, pooler = RowLocator(rows, pooling, bos), Pooler(pooling)
    found = np.full((rows.count, 2), np.nan)
    for pack in packs_of(lengths + bos, longest, longest + more):
        ended, values = pooler.pool(run(pack, bos), locator.spans(**pack))
        assert np.isnan(found[ended]).all()  # each row ends once
        assert sorted(ended) == sorted(locator.ended(**pack))
        found[ended] = values["norm"].numpy()
    assert not len(pooler.open)
    assert rows.count == sum(map(len, wanted.values()))
    for chunk, mine in wanted.items():
        index = rows.row_index(np.full(len(mine), chunk), np.array(list(mine), int))
        values = np.array(list(mine.values())).reshape(-1, 2)
        np.testing.assert_allclose(found[index], values, rtol=1e-5, atol=1e-6)


@given(
    pooling=st.sampled_from(POOLINGS),
    shard=shards(),
    longest=st.integers(1, 50),
    more=st.integers(0, 60),
    bos=st.integers(0, 1),
    skip_first=st.sampled_from([0, 0, 4]),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_sums_are_of_all_bases_of_a_row(pooling, shard, longest, more, bos, skip_first):
    chunks, lengths = shard
    try:
        rows = shard_rows(chunks, pooling, skip_first)
    except InputError:
        return
    locator, pooler = RowLocator(rows, pooling, bos), Pooler("sum")
    found = np.full((rows.count, 2), np.nan)
    for pack in packs_of(lengths + bos, longest, longest + more):
        spans = locator.spans(**pack, which=WHOLE)
        ended, values = pooler.pool(run(pack, bos), spans)
        assert sorted(ended) == sorted(locator.ended(**pack, which=WHOLE))
        assert values["norm"].dtype == torch.float64
        found[ended] = values["norm"].numpy()
    assert not len(pooler.open)
    columns = {name: column.to_pylist() for name, column in rows.keys(0, rows.count).items()}
    scored = rows.scored(0, rows.count, bos)
    for row in range(rows.count):
        start, end, strand, stretch, context = chunks[columns["chunk"][row]]
        before = columns["start"][row] - start if strand == "+" else end - columns["end"][row]
        bases = columns["end"][row] - columns["start"][row]
        places = context - (end - start) + before + np.arange(bases)
        np.testing.assert_allclose(
            found[row], token_values(10 + stretch, places).sum(0), rtol=1e-5, atol=1e-5
        )
        assert scored[row] == bases - (not bos and places[0] == 0)


def test_keys_tell_what_was_pooled():
    windows = [(0, 10, "+", 0, 10), (10, 20, "+", 0, 20)]
    told = {}
    for pooling in ("mean", "max", "first", "last", {"center": 4}, {"bin": 4}):
        rows = shard_rows(windows, pooling, skip_first=5)
        keys = rows.keys(0, rows.count)
        names = ("start", "end", "n_tokens", "context")
        told[str(pooling)] = list(zip(*(keys[name].to_pylist() for name in names), strict=True))
    assert told == {
        "mean": [(0, 10, 5, 10), (10, 20, 10, 20)],
        "max": [(0, 10, 5, 10), (10, 20, 10, 20)],
        "first": [(0, 10, 1, 6), (10, 20, 1, 11)],
        "last": [(0, 10, 5, 10), (10, 20, 10, 20)],
        "{'center': 4}": [(0, 10, 2, 7), (10, 20, 4, 17)],
        "{'bin': 4}": [
            *[(4, 8, 3, 8), (8, 10, 2, 10)],
            *[(10, 14, 4, 14), (14, 18, 4, 18), (18, 20, 2, 20)],
        ],
    }


@pytest.mark.parametrize("pooling", ["mean", "max"])
def test_pooling_goes_on_when_the_memory_of_the_device_is_used_up_once(pooling):
    windows = [(0, 4, "+", 0, 4), (2, 6, "+", 0, 6), (4, 8, "+", 0, 8)]
    locator = RowLocator(shard_rows(windows, pooling), pooling, 0)
    engine, joined = SimpleNamespace(free_unused=lambda: freed.append(True)), []

    def pool_all(pooler):
        found = []
        for pack in packs_of(np.array([8]), 3, 3):
            outputs = run(pack, 0)
            outputs["other"] = 2 * outputs["norm"]
            found.append(_pool(pooler, engine, outputs, locator.spans(**pack)))
        return found

    class Tight(Pooler):
        def _join(self, *arguments):
            joined.append(True)
            if len(joined) == 4:  # of the second layer in the second pack with open rows
                raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling a function")
            super()._join(*arguments)

    freed = []
    wanted, found = pool_all(Pooler(pooling)), pool_all(Tight(pooling))
    assert freed == [True]
    for (rows, values), (other_rows, other) in zip(wanted, found, strict=True):
        assert (rows == other_rows).all()
        assert all(torch.equal(values[layer], other[layer]) for layer in ("norm", "other"))


def test_the_example_of_the_module_is_true():
    windows = [(0, 4, "+", 0, 4), (2, 6, "+", 0, 6), (4, 8, "+", 0, 8)]
    locator = RowLocator(shard_rows(windows, "mean"), "mean", 0)
    lines = []
    for pack, (offset, length) in enumerate([(0, 5), (5, 3)]):
        spans = locator.spans(np.array([10]), np.array([offset]), np.array([0, length]))
        columns = (spans.row_index, spans.start, spans.length, spans.ends)
        lines += [[str(pack), *map(str, span)] for span in zip(*columns, strict=True)]
    text = row_spans.__doc__.split("ends\n")[1].split("\n\n")[0]
    assert lines == [line.split() for line in text.splitlines()]


@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=8),
    longest=st.integers(1, 20),
    more=st.integers(0, 30),
    data=st.data(),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_what_runs_again_has_its_past_and_nothing_else_does(lengths, longest, more, data):
    packs = dict(enumerate(packs_of(np.array(lengths), longest, longest + more)))
    stretches = {number: pack["stretch"] for number, pack in packs.items()}
    done = data.draw(st.sets(st.sampled_from(list(packs))))
    found = wanted_segments(
        {n: {**pack, "parent": np.full_like(pack["stretch"], -1)} for n, pack in packs.items()},
        done,
    )
    wanted = {number: of_pack.segments for number, of_pack in found.items()}
    assert not any(len(of_pack.forks) for of_pack in found.values())
    assert set(packs) - done <= set(wanted)
    for number in set(packs) - done:
        assert wanted[number].all()
        for stretch in stretches[number]:
            for earlier in range(number):
                mine = stretches[earlier] == stretch
                assert not mine.any() or wanted[earlier][mine].all()
    for number, mask in wanted.items():
        for stretch, goes_on in zip(
            stretches[number][mask], found[number].goes_on[mask], strict=True
        ):
            needing = [
                later
                for later in range(number, len(packs))
                if later not in done and stretch in stretches[later]
            ]
            assert needing
            assert goes_on == (needing[-1] > number)
