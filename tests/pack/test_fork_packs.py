"""Packs of stretches that begin inside others: segments, tokens, and what a resume needs."""

import zlib

import numpy as np
import pyarrow as pa
import pytest
from evo2_embed.embed.wanted import wanted_segments
from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.io.errors import InputError
from evo2_embed.io.later import OlderFile
from evo2_embed.io.tables import CHUNKS, PACKS, metadata_schema, open_table, table_writer
from evo2_embed.pack.assign import TOKENS_PER_STATE, Forks, cut_segments, edges_of
from evo2_embed.pack.pack_shard import pack_shard
from evo2_embed.pack.read import read_pack_segments, read_packs
from hypothesis import given, settings
from hypothesis import strategies as st
from runs import random_bases, write_fasta

COMPLEMENT = str.maketrans("ACGT", "TGCA")
BASES = random_bases(400, 3)


@st.composite
def families(draw):
    """Lengths of stretches, and which of them are forks."""
    lengths, parents, offsets = [], [], []
    for _ in range(draw(st.integers(1, 6))):
        root, length = len(lengths), draw(st.integers(1, 60))
        points = draw(st.lists(st.integers(1, length), max_size=8))
        own = [draw(st.integers(1, 40)) for _ in points]
        lengths += [length, *own]
        parents += [-1, *[root] * len(points)]
        offsets += [0, *points]
    return np.array(lengths), Forks(np.array(parents), np.array(offsets))


def packs_of(cut):
    """By number, the segments of each pack, as `read_pack_segments` gives them."""
    return {
        number: {
            "stretch": cut.stretch[first:stop],
            "offset": cut.offset[first:stop],
            "parent": cut.parent[first:stop],
            "cu_seqlens": edges_of(cut.length[first:stop]),
        }
        for number, (first, stop) in enumerate(zip(cut.edges[:-1], cut.edges[1:], strict=True))
    }


@given(family=families(), longest=st.integers(1, 50), more=st.integers(0, 60))
@settings(max_examples=150, deadline=None, derandomize=True)
def test_a_fork_begins_after_its_fork_point_has_run(family, longest, more):
    lengths, forks = family
    cut = cut_segments(lengths, longest, longest + more, forks)
    pack = np.searchsorted(cut.edges, np.arange(len(cut.stretch)), side="right") - 1
    assert np.bincount(pack, cut.length).max() <= longest + more
    assert cut.length.min() > 0
    assert cut.length.max() <= longest
    for stretch, length in enumerate(lengths):
        mine = np.flatnonzero(cut.stretch == stretch)
        ends = np.cumsum(cut.length[mine])
        assert (cut.offset[mine] - forks.offset[stretch] == ends - cut.length[mine]).all()
        assert (cut.remaining[mine] == length - ends).all()
        assert (np.diff(pack[mine]) > 0).all()
        parent = forks.parent[stretch]
        assert cut.parent[mine].tolist() == [parent] + [-1] * (len(mine) - 1)
        if parent >= 0:
            point = forks.offset[stretch]
            before = (cut.stretch == parent) & (cut.offset < point)
            last = np.flatnonzero(before & (cut.offset + cut.length >= point))
            assert len(last) == 1
            assert pack[last] < pack[mine[0]]


@pytest.mark.parametrize(
    ("parents", "points", "own", "budget"),
    [
        # Windows of 8,192 bases with one variant in the middle, and with three alternates.
        (300, 1, 4096, 65_536),
        (200, 3, 4096, 65_536),
        # Short forks of many parents, and far more of them than may wait.
        (300, 40, 100, 65_536),
        (20, 2000, 512, 65_536),
        # A saturation scan: 900 forks of one parent at 300 places.
        (1, 900, 4096, 65_536),
        (1, 900, 1024, 16_384),
    ],
)
def test_packs_stay_full_and_few_states_wait(parents, points, own, budget):
    rng = np.random.default_rng(0)
    lengths = np.concatenate([[8192, *[own] * points]] * parents)
    parent = np.concatenate([[-1, *[i * (points + 1)] * points] for i in range(parents)])
    offset = np.concatenate(
        [[0, *np.sort(rng.choice(np.arange(1, 8192), points))] for _ in range(parents)]
    )
    if parents == 1:
        offset = np.append(0, np.repeat(np.arange(4000, 4300), 3))
    cut = cut_segments(lengths, budget, budget, Forks(parent, offset))
    fill = cut.length.sum() / (cut.n_packs * budget)
    assert fill > 0.97, fill
    waiting, most = {}, 0
    wanted = wanted_segments(packs_of(cut), set())
    for number, pack in packs_of(cut).items():
        for row in np.flatnonzero(pack["parent"] >= 0):
            point = (pack["parent"][row], pack["offset"][row])
            waiting[point] -= 1
            if not waiting[point]:
                del waiting[point]
        for row, place, count in wanted[number].forks:
            waiting[pack["stretch"][row], place] = count
        most = max(most, len(waiting))
    assert not waiting
    assert most <= budget // TOKENS_PER_STATE


@given(family=families(), longest=st.integers(1, 30), more=st.integers(0, 60), data=st.data())
@settings(max_examples=100, deadline=None, derandomize=True)
def test_a_resume_runs_what_forks_need_and_keeps_no_other_state(family, longest, more, data):
    lengths, forks = family
    packs = packs_of(cut_segments(lengths, longest, longest + more, forks))
    done = set(range(data.draw(st.integers(0, len(packs) - 1))))
    wanted = wanted_segments(packs, done)
    # Independently: all tokens that those of the packs that are not done depend on.
    needed = [0] * len(lengths)  # tokens of each stretch, a fork's with its parent's
    for number in set(packs) - done:
        for stretch, offset, length in zip(
            packs[number]["stretch"],
            packs[number]["offset"],
            np.diff(packs[number]["cu_seqlens"]),
            strict=True,
        ):
            needed[stretch] = max(needed[stretch], offset + length)
    for fork in np.flatnonzero(forks.parent >= 0):
        if needed[fork]:
            parent = forks.parent[fork]
            needed[parent] = max(needed[parent], forks.offset[fork])
    kept = {}
    for number, pack in packs.items():
        mine = [o < needed[s] for s, o in zip(pack["stretch"], pack["offset"], strict=True)]
        if not any(mine):
            assert number not in wanted
            continue
        assert wanted[number].segments.tolist() == mine
        ends = pack["offset"] + np.diff(pack["cu_seqlens"])
        goes_on = [end < needed[s] for s, end in zip(pack["stretch"], ends, strict=True)]
        assert (wanted[number].goes_on & mine).tolist() == (np.array(goes_on) & mine).tolist()
        for row in np.flatnonzero(mine & (pack["parent"] >= 0)):
            kept[pack["parent"][row], pack["offset"][row]] -= 1
        for row, point, count in wanted[number].forks:
            assert pack["offset"][row] < point <= ends[row]
            kept[pack["stretch"][row], point] = count
    assert not any(kept.values())


def alternate(start, end, position, replaced, letters):
    """Bases of a window with an allele replaced."""
    return BASES[start:position] + letters + BASES[position + replaced : end]


# Position, reference bases that are replaced, letters in their place, and the bases behind them.
VARIANTS = [(50, 1, "T", 30), (50, 1, "G", 30), (70, 3, "A", 40), (90, 1, "ACGTACGTA", 25)]
WINDOW = (40, 140)  # of the reference


def rows_of(strand, share, first):
    """Chunks of a reference window and of alternates, as they are in a chunk table."""
    start, end = WINDOW
    common = {"genome": "g", "contig": "c", "strand": strand, "gc": 0.5, "ambiguous": 0.0}
    reference = {
        **common,
        **{"start": start, "end": end, "length": end - start, "context": end - start},
        **{"stretch": first, "crc32": zlib.crc32(BASES[start:end].encode()), "fork": 10},
    }
    rows, sequences = [reference], {first: BASES[start:end]}
    for number, (position, replaced, letters, behind) in enumerate(VARIANTS, first + 1):
        low, high = start, position + replaced + behind
        before = position - low
        if strand == "-":
            low, high = position - behind, end
            before = high - position - replaced
        window = alternate(low, high, position, replaced, letters)
        own = len(window) - before
        rows.append(
            {
                **common,
                **{"start": low, "end": high, "length": len(window), "stretch": number},
                **{"context": before + own, "fork": before, "insert": letters},
                "parent": first if share else None,
                "crc32": zlib.crc32(window.encode()),
                "variant": f"c:{position + 1}",
            }
        )
        sequences[number] = window
    if strand == "-":
        sequences = {n: text.translate(COMPLEMENT)[::-1] for n, text in sequences.items()}
    return rows, sequences


def write_chunks(path, rows):
    rows = [{"chunk": number, **row} for number, row in enumerate(rows)]
    schema = metadata_schema(
        CHUNKS,
        {
            "digest": "d",
            "inputs": [{"genome": "g"}],
            "settings": {"windows": {"lower_case": "upper"}},
        },
    )
    with table_writer(path, schema) as writer:
        writer.write_table(pa.Table.from_pylist(rows, schema))


@pytest.fixture
def pack(tmp_path, complete):
    """A function that packs chunks: the packs of a shard."""
    fasta = write_fasta(tmp_path / "g.fa", [("c", BASES)])

    def pack(rows, shard=0, n_shards=1, **packing):
        write_chunks("chunks.parquet", rows)
        how = {"packing": complete(packing=packing).packing.to_dict(), "code": 1}
        metadata = pack_shard(
            [Genome("g", fasta)], "chunks.parquet", shard, n_shards, how, "i", "packs.parquet"
        )
        return metadata, open_table("packs.parquet", PACKS)

    return pack


@pytest.mark.parametrize("bos", [False, True])
@pytest.mark.parametrize("max_tokens", [60, 200, 1000])
@pytest.mark.parametrize("share", [True, False])
def test_tokens_of_forks_follow_those_of_their_parent(pack, share, max_tokens, bos):
    rows, sequences = rows_of("+", share, 0)
    more, others = rows_of("-", share, len(sequences))
    sequences |= others
    # A piece as long as a pack, and shorter ones.
    metadata, file = pack(rows + more, max_tokens=max_tokens, piece=min(150, max_tokens), bos=bos)
    found = dict.fromkeys(sequences, b"")
    parents, ended = {}, {}
    for row in read_packs(file, "packs"):
        tokens = np.split(row["tokens"], row["cu_seqlens"][1:-1])
        for stretch, parent, offset, part in zip(
            row["stretch"], row["parent"], row["offset"], tokens, strict=True
        ):
            if parent >= 0:
                parents[stretch] = parent
                # What the fork shares was packed before.
                found[stretch] = found[parent][:offset]
            assert len(found[stretch]) == offset
            found[stretch] += part.tobytes()
        for chunk, segment in zip(row["chunk"], row["segment"], strict=True):
            ended[chunk] = row["stretch"][segment]
    first = b"\0" * bos
    assert {n: text.decode() for n, text in found.items()} == {
        n: first.decode() + text for n, text in sequences.items()
    }
    assert ended == dict(enumerate(sequences))
    assert parents == ({n: n // 5 * 5 for n in sequences if n % 5} if share else {})
    own = sum(len(part) for part in sequences.values()) + bos * (2 if share else 10)
    if share:
        own -= sum(row["fork"] for row in rows + more if "parent" in row)
    assert metadata.n_tokens == own
    segments = read_pack_segments(file)
    packed = sum(int(pack["cu_seqlens"][-1]) for pack in segments.values())
    assert packed == own


def test_a_pack_file_without_forks_has_no_column_for_them(pack):
    _, file = pack(rows_of("+", False, 0)[0], max_tokens=200, piece=200)
    assert isinstance(file, OlderFile)
    assert "parent" not in file.names
    parents = [row["parent"].tolist() for row in read_packs(file, "packs")]
    assert parents == [[-1] * len(pack["stretch"]) for pack in read_pack_segments(file).values()]


def test_a_shard_has_whole_families(pack):
    rows, _ = rows_of("+", True, 0)
    for first in (5, 10, 15):
        rows += rows_of("+-"[first % 2], True, first)[0]
    found = []
    for shard in range(3):
        metadata, file = pack(rows, shard, 3, max_tokens=200, piece=200)
        stretches = {s for pack in read_pack_segments(file).values() for s in pack["stretch"]}
        assert metadata.n_stretches == len(stretches)
        assert metadata.first_stretch % 5 == 0
        found += sorted(stretches)
    assert found == list(range(20))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"parent": 0, "stretch": 2}, None),
        ({"parent": 1, "stretch": 2}, "tokens of stretch 1, which is a fork, too, and a fork can"),
        (
            {"fork": 101, "context": 131},
            "stretch 2 begins after 101 tokens of stretch 0, which has",
        ),
        ({"crc32": 7}, "bases 40 to 81 are not those that were chunked"),
    ],
)
def test_forks_that_cannot_be_are_refused(pack, change, said):
    rows = rows_of("+", True, 0)[0][:3]
    rows[2].update(change)
    if said is None:
        pack(rows, max_tokens=200, piece=200)
        return
    with pytest.raises(InputError, match=said):
        pack(rows, max_tokens=200, piece=200)
