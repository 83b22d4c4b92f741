"""Stretches: which window is in which, what runs before it, and the segments that they run in."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from evo2_embed.chunk.chunk_table import chunk_bundle
from evo2_embed.chunk.stretches import Stretches, cut_stretches, group_windows
from evo2_embed.genomes.fasta import KEEP, UPPER, reverse_complement
from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.io.errors import InputError
from evo2_embed.io.parts import Parts
from evo2_embed.io.tables import PACKS, open_table
from evo2_embed.pack.assign import assign_stretches, cut_segments
from evo2_embed.pack.pack_shard import pack_shard
from evo2_embed.pack.read import read_chunk_keys, read_packs
from evo2_embed.settings.jobs import Packing
from evo2_embed.settings.windows import Context
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from lengths import random_lengths
from runs import random_bases, write_fasta

QUICK = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@st.composite
def contigs(draw):
    """Windows of a contig on both strands, in any order, its length, a span and a min."""
    length = draw(st.integers(1, 2000))
    size = draw(st.integers(1, min(length, 300)))
    least = draw(st.integers(0, 500))
    span = size + least + draw(st.integers(0, 800))
    count = draw(st.integers(1, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    starts = rng.integers(0, length, count)
    ends = np.minimum(starts + rng.integers(1, size + 1, count), length)
    return starts, ends, rng.choice(["+", "-"], count), length, Context(span=span, min=least)


@given(contig=contigs())
def test_every_window_is_in_one_stretch_and_span_and_min_hold(contig):
    starts, ends, strands, length, limits = contig
    stretch, context = group_windows(*contig)
    begin = np.where(strands == "+", starts, length - ends)
    origin = np.where(strands == "+", ends, length - starts) - context
    assert (origin >= 0).all()
    assert (context <= limits.span).all()
    assert (begin - origin >= np.minimum(limits.min, begin)).all()
    for number in np.unique(stretch):
        mine = stretch == number
        assert len(set(strands[mine])) == len(set(origin[mine])) == 1
        start = begin[mine].min()
        end = (origin + context)[mine & (begin == start)].min()
        # At the start of the strand if the first window allows it, else as late as possible.
        assert origin[mine][0] == (0 if end <= limits.span else max(0, start - limits.min))


@given(contig=contigs())
def test_a_stretch_ends_only_where_the_next_window_would_exceed_the_span(contig):
    starts, ends, _, _, limits = contig
    stretch, origin = cut_stretches(starts, ends, limits.span, limits.min)
    order = np.lexsort((ends, starts))
    steps = np.diff(stretch[order])
    assert stretch[order[0]] == 0
    assert set(steps) <= {0, 1}
    for row in np.flatnonzero(steps):
        assert ends[order[row + 1]] - origin[order[row]] > limits.span


@given(contig=contigs())
def test_the_strands_mirror_each_other(contig):
    starts, ends, strands, length, limits = contig
    other = np.where(strands == "+", "-", "+")
    mirrored = group_windows(length - ends, length - starts, other, length, limits)
    stretch, context = group_windows(starts, ends, strands, length, limits)
    assert (mirrored[1] == context).all()
    same = [numbers[:, None] == numbers for numbers in (stretch, mirrored[0])]
    assert (same[0] == same[1]).all()


def test_without_a_span_each_window_is_a_stretch():
    starts, ends = np.array([0, 0, 5]), np.array([9, 9, 14])
    strands = np.array(["+", "-", "+"])
    stretch, context = group_windows(starts, ends, strands, 14, Context())
    assert stretch.tolist() == [0, 1, 2]
    assert context.tolist() == [9, 9, 9]


LENGTHS = random_lengths(300, 30, least=1)


@given(lengths=LENGTHS, budget=st.integers(1, 200), data=st.data())
def test_segments_tile_every_stretch_in_order(lengths, budget, data):
    longest = data.draw(st.integers(1, budget))
    segments = cut_segments(lengths, longest, budget)
    tokens = [
        segments.length[a:b].sum()
        for a, b in zip(segments.edges[:-1], segments.edges[1:], strict=True)
    ]
    assert max(tokens) <= budget
    assert segments.length.min() > 0
    assert segments.length.max() <= longest
    opened = lengths[segments.stretch[segments.offset == 0]]
    assert longest == budget or (np.diff(opened) <= 0).all()
    for stretch, length in enumerate(lengths):
        mine = segments.stretch == stretch
        ends = np.cumsum(segments.length[mine])
        assert (segments.offset[mine] == ends - segments.length[mine]).all()
        assert (segments.remaining[mine] == length - ends).all()
        packs = np.searchsorted(segments.edges, np.flatnonzero(mine), side="right")
        # From its first pack to its last it has one segment in each.
        assert (np.diff(packs) == 1).all()


@given(lengths=LENGTHS, budget=st.integers(1, 200))
def test_segments_as_large_as_a_pack_leave_no_room(lengths, budget):
    segments = cut_segments(lengths, budget, budget)
    tokens = np.add.reduceat(segments.length, segments.edges[:-1])
    assert (tokens[:-1] == budget).all()
    assert (np.diff(segments.stretch) >= 0).all()


@given(lengths=LENGTHS, strategy=st.sampled_from(["packed", "padded"]))
def test_stretches_that_fit_into_a_segment_are_whole(lengths, strategy):
    packing = Packing(strategy=strategy, max_tokens=400, piece=300)
    segments = assign_stretches(lengths, packing)
    assert sorted(segments.stretch) == list(range(len(lengths)))
    assert (segments.length == lengths[segments.stretch]).all()
    assert not segments.offset.any()
    assert not segments.remaining.any()


@st.composite
def genomes(draw):
    """Records with stretches of N and of lower case."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    records = []
    for number, length in enumerate(draw(st.lists(st.integers(40, 500), min_size=1, max_size=2))):
        bases = np.array(list(random_bases(length, number)))
        start = rng.integers(length)
        bases[start : start + 60] = "N"
        text = "".join(bases)
        records.append((f"c{number}", text[: length // 2] + text[length // 2 :].lower()))
    return records


WINDOWS = st.fixed_dictionaries(
    {
        "stride": st.integers(10, 90),
        "last": st.sampled_from(["keep", "shift"]),
        "strands": st.sampled_from(["+", "-", "both"]),
        "lower_case": st.sampled_from(["upper", "keep"]),
        "min_length": st.integers(1, 40),
        "ambiguous": st.sampled_from([{"policy": "keep"}, {"policy": "skip", "max_share": 0.3}]),
        "context": st.fixed_dictionaries(
            {"span": st.integers(160, 600), "min": st.integers(0, 100)}
        ),
    }
)


def made(complete, records, windows, packing, n_shards=1):
    """Chunk and pack a genome: the chunk table's rows, and metadata and rows of each pack file."""
    write_fasta("g.fa", records)
    genome = [Genome("g", "g.fa")]
    config = complete(windows={"size": 60, **windows}, packing=packing)
    chunk_bundle(genome, config.windows.to_dict(), "indexes", "chunks.parquet", 1, threads=2)
    shards = []
    for shard in range(n_shards):
        how = {"packing": config.packing.to_dict(), "code": 1}
        path = f"packs/{shard:05d}.parquet"
        metadata = pack_shard(genome, "chunks.parquet", shard, n_shards, how, "indexes", path)
        shards.append((metadata, list(read_packs(open_table(path, PACKS), path))))
    return pq.read_table("chunks.parquet"), shards


def expected_tokens(table, records, lower_case, bos):
    """By stretch, its tokens from the FASTA records."""
    result = {}
    for row in table.to_pylist():
        bases = np.frombuffer(dict(records)[row["contig"]].encode(), np.uint8)
        tokens = (UPPER if lower_case == "upper" else KEEP)[bases]
        if row["strand"] == "+":
            mine = tokens[row["end"] - row["context"] : row["end"]]
        else:
            mine = reverse_complement(tokens[row["start"] : row["start"] + row["context"]])
        if len(mine) + bos > len(result.get(row["stretch"], [])):
            result[row["stretch"]] = [0] * bos + mine.tolist()
    return result


@QUICK
@given(
    records=genomes(),
    windows=WINDOWS,
    bos=st.booleans(),
    budget=st.integers(20, 400),
    data=st.data(),
)
def test_packs_hold_the_stretches_of_the_fasta(complete, records, windows, bos, budget, data):
    longest = data.draw(st.integers(1, budget))
    packing = {"max_tokens": budget, "piece": longest, "bos": bos}
    try:
        table, shards = made(complete, records, windows, packing, n_shards=3)
    except InputError as error:
        if "no window is left" not in str(error):
            raise
        return
    wanted = expected_tokens(table, records, windows["lower_case"], bos)
    tokens, chunks = {}, []
    for metadata, rows in shards:
        for row in rows:
            ends, lengths = row["cu_seqlens"], np.diff(row["cu_seqlens"])
            assert ends[-1] <= budget
            for stretch, offset, remaining, start, end in zip(
                row["stretch"], row["offset"], row["remaining"], ends[:-1], ends[1:], strict=True
            ):
                found = tokens.setdefault(int(stretch), [])
                assert len(found) == offset
                found += row["tokens"][start:end].tolist()
                assert len(wanted[int(stretch)]) == offset + end - start + remaining
            last = bos + row["context"] - row["offset"][row["segment"]]
            assert ((last > 0) & (last <= lengths[row["segment"]])).all()
            chunks += row["chunk"].tolist()
        numbers = range(metadata.first_stretch, metadata.first_stretch + metadata.n_stretches)
        assert metadata.n_tokens == sum(len(wanted[number]) for number in numbers)
    assert tokens == wanted
    assert sorted(chunks) == table["chunk"].to_pylist()
    assert table["stretch"].to_numpy().max(initial=-1) == len(wanted) - 1
    firsts = np.unique(table["stretch"].to_numpy(), return_index=True)[1]
    assert (np.diff(firsts) > 0).all()  # numbers in the order of first chunks
    _, found = shards[0], read_chunk_keys(open_table("packs/00000.parquet", PACKS))
    for name in ("stretch", "context", "start"):
        assert (found[name] == table[name].to_numpy()[found["chunk"]]).all()


def test_windows_longer_than_a_segment_run_in_several(complete):
    records = [("a", random_bases(250, 1)), ("b", random_bases(30, 2))]
    table, [(metadata, rows)] = made(complete, records, {"strands": "both"}, {"max_tokens": 50})
    assert table["stretch"].to_pylist() == table["chunk"].to_pylist()
    assert table["context"].to_pylist() == table["length"].to_pylist()
    assert [int(row["cu_seqlens"][-1]) for row in rows] == [50] * 11 + [10]
    assert metadata.n_tokens == metadata.n_bases == 2 * (250 + 30)
    assert metadata.padded_tokens > metadata.n_tokens


def test_a_letter_that_is_none_between_windows_is_refused(complete):
    bases = random_bases(200, 1)
    records = [("a", f"{bases[:70]}!{bases[71:]}")]
    windows = {"stride": 100, "context": {"span": 200}}
    # A window's checksum says nothing of what is between them.
    with pytest.raises(InputError, match=r"g\.fa: record 'a': '!' at base 71 is not a nucleotide"):
        made(complete, records, windows, {})
    assert not Path("packs").exists() or not list(Path("packs").iterdir())


def test_a_change_in_any_window_of_a_stretch_is_refused(complete):
    records = [("a", random_bases(200, 1))]
    windows = {"stride": 50, "strands": "-", "context": {"span": 200}}
    made(complete, records, windows, {})
    changed = records[0][1][:80] + random_bases(10, 5) + records[0][1][90:]
    write_fasta("g.fa", [("a", changed)])
    how = {"packing": complete().packing.to_dict(), "code": 1}
    with pytest.raises(InputError, match=r"bases 50 to 110 are not those .* changed"):
        pack_shard([Genome("g", "g.fa")], "chunks.parquet", 0, 1, how, "indexes", "p.parquet")


def test_the_stretches_of_a_shard_end_with_their_last_window():
    chunks = {
        "start": np.array([0, 0, 40, 40]),
        "end": np.array([60, 60, 100, 100]),
        "stretch": np.array([3, 4, 3, 4]),
        "context": np.array([60, 120, 100, 80]),
        "length": np.full(4, 60),
        "parent": np.full(4, -1),
        "fork": np.zeros(4, int),
        "insert": np.full(4, None),
        "minus": np.array([False, True, False, True]),
        "parts": Parts.none(4),
    }
    stretches = Stretches(chunks)
    assert stretches.order.tolist() == [0, 2, 3, 1]
    assert stretches.number.tolist() == [3, 4]
    assert stretches.bases.tolist() == [100, 120]
    assert [stretches.intervals(index) for index in (0, 1)] == [[[0, 100]], [[0, 120]]]
