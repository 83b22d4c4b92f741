"""Which chunks are for training and which for validation: nothing leaks, nothing is lost."""

import tempfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from evo2_embed.chunk.windows import tile_windows
from evo2_embed.finetune.split import BLOCKS, PARTS, choose, open_split, split_chunks
from evo2_embed.io.errors import InputError
from evo2_embed.io.tables import CHUNKS, chunk_table, metadata_schema, open_table, table_writer
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st

TRAIN, VALIDATION, LEFT_OUT = range(len(PARTS))
NAMED = (pl.col("contig").cast(pl.String), "block", "start", "end")


def chunk_rows(lengths, size, stride, genome="g"):
    """Windows of contigs c0, c1 ... of these lengths, on both strands."""
    rows = []
    for number, length in enumerate(lengths):
        for start, end in zip(*tile_windows(length, size, stride), strict=True):
            rows += [(genome, f"c{number}", int(start), int(end), strand) for strand in "+-"]
    return rows


def write_chunks(path, rows):
    """A chunk table with these genomes, contigs, starts, ends and strands."""
    genome, contig, start, end, strand = zip(*rows, strict=True)
    length = np.subtract(end, start)
    columns = {
        "chunk": range(len(rows)),
        "genome": genome,
        "contig": contig,
        "start": start,
        "end": end,
        "strand": strand,
        "length": length,
        "stretch": range(len(rows)),
        "context": length,
        **{name: np.zeros(len(rows)) for name in ("gc", "ambiguous", "crc32")},
    }
    schema = metadata_schema(CHUNKS, {"digest": f"of {path}"})
    with table_writer(path, schema) as writer:
        writer.write_table(chunk_table(columns))
    return str(path)


def split_of(folder, tables, **changes):
    """Split tables of chunks: the blocks, the part of every chunk, and the metadata."""
    wanted = {"split": "block", "block": 100, "gap": 10, "validation_share": 0.1, "code": 1}
    paths = [write_chunks(Path(folder) / f"{i}.parquet", rows) for i, rows in enumerate(tables)]
    output = str(Path(folder) / "blocks.parquet")
    metadata = split_chunks(paths, wanted | changes, output)
    split, _ = open_split(output)
    names = ["genome", "contig", "start", "end", "strand"]
    rows = pl.DataFrame([row for rows in tables for row in rows], schema=names, orient="row")
    blocks = pl.from_arrow(open_table(output, BLOCKS).read())
    return blocks, rows.with_columns(part=pl.Series(split.assign(rows))), metadata


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(
    lengths=st.lists(st.integers(1, 400), min_size=1, max_size=5),
    size=st.integers(1, 60),
    stride=st.integers(1, 80),
    factor=st.integers(1, 4),
    gap=st.integers(0, 90),
    share=st.sampled_from([0.05, 0.1, 0.25, 0.5, 0.7]),
    split=st.sampled_from(["block", "contig"]),
)
def test_training_keeps_its_distance_and_no_chunk_is_lost(
    lengths, size, stride, factor, gap, share, split
):
    block = size * factor
    rows = chunk_rows(lengths, size, stride)
    with tempfile.TemporaryDirectory() as folder:
        try:
            changes = {"split": split, "block": block, "gap": gap, "validation_share": share}
            blocks, chunks, metadata = split_of(folder, [rows], **changes)
        except InputError:
            reject()  # one of the sets would be empty
    assert metadata["parts"] == {
        part: (chunks["part"] == number).sum() for number, part in enumerate(PARTS)
    }
    held_out = blocks.filter(pl.col("split") == "validation")
    assert len(held_out) == int(len(blocks) * share + 0.5 + 1e-9)
    assert blocks["chunks"].sum() == len(chunks)
    kept = {}
    for contig, number, start, end in held_out.select(NAMED).rows():
        kept.setdefault(contig, {})[number] = (start, end)
    for contig, start, end, part in chunks.select("contig", "start", "end", "part").rows():
        mine = kept.get(contig, {})
        number = (start + end) // 2 // block if split == "block" else 0
        assert (part == VALIDATION) == (number in mine)
        # Bases to the nearest validation block; less than 0 if they overlap.
        distance = min((max(a - end, start - b) for a, b in mine.values()), default=np.inf)
        if part != VALIDATION:
            assert (part == LEFT_OUT) == (distance < gap or distance < 0)
        elif split == "block":
            a, b = mine[number]
            assert a <= min(start, number * block)
            assert b >= max(end, (number + 1) * block)


@given(
    number=st.integers(0, 300), more=st.integers(0, 50), share=st.sampled_from([0.001, 0.1, 0.3])
)
def test_a_share_is_taken_evenly_and_what_is_added_behind_changes_nothing(number, more, share):
    chosen = choose(number, share)
    assert chosen.sum() == int(number * share + 0.5 + 1e-9)
    assert (choose(number + more, share)[:number] == chosen).all()
    places = np.flatnonzero(chosen)
    assert len(places) < 2 or np.diff(places).min() >= int(1 / share)


@pytest.mark.parametrize(
    ("lengths", "validation"),
    [([500], [4]), ([100] * 10, [4]), ([100] * 20, [4, 14]), ([1000, 1000], [4, 14])],
)
def test_as_many_blocks_as_one_over_the_share_and_fewer_give_one(tmp_path, lengths, validation):
    blocks, _, _ = split_of(tmp_path, [chunk_rows(lengths, 20, 20)])
    assert np.flatnonzero(blocks["split"] == "validation").tolist() == validation


def test_bundles_do_not_matter(tmp_path):
    one = chunk_rows([300, 200], 20, 15, "a")
    two = chunk_rows([700], 20, 15, "b")
    (tmp_path / "apart").mkdir()
    apart = split_of(tmp_path / "apart", [one, two])
    together = split_of(tmp_path, [one + two])
    assert apart[0].equals(together[0])
    assert apart[1].equals(together[1])
    assert set(apart[1]["part"]) == {TRAIN, VALIDATION, LEFT_OUT}


def test_windows_that_reach_out_of_a_block_keep_others_away(tmp_path):
    # Windows every 50 bases: that of 350 to 450 has its middle in block 4, which is for validation.
    _, chunks, _ = split_of(tmp_path, [chunk_rows([1000], 100, 50)], gap=0)
    parts = dict(zip(chunks["start"], chunks["part"], strict=True))
    assert [parts[start] for start in (200, 250, 300, 350, 400, 450, 500, 550)] == [
        *(TRAIN, TRAIN, LEFT_OUT, VALIDATION, VALIDATION, LEFT_OUT, TRAIN, TRAIN)
    ]


@pytest.mark.parametrize(
    ("lengths", "changes", "message"),
    [
        ([400], {}, "of 4 block.s. is less than half of one.*a smaller block, or a larger"),
        (
            [400],
            {"split": "contig"},
            "of 1 contig.s. is less .*split: block, or a larger",
        ),
        ([200], {"validation_share": 0.9}, "0.9 of 2 block.s. is all of them.*training set"),
        ([500], {"gap": 500}, "^finetune.gap: 500 bases .* leave no window for training"),
    ],
)
def test_a_set_that_would_be_empty_is_one_line(tmp_path, lengths, changes, message):
    with pytest.raises(InputError, match=message) as error:
        split_of(tmp_path, [chunk_rows(lengths, 20, 20)], **changes)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "blocks.parquet").exists()
