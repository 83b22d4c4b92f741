"""Files made before some columns came are read as those made today.

`older/` has the chunk table, the packs and a dataset of `older/genome.fa`, made by the commit
before the columns `parts` and `exons`.
"""

import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from evo2_embed.chunk.chunk_table import chunk_bundle
from evo2_embed.dataset.dataset import Dataset
from evo2_embed.embed.rows import ShardRows
from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.io.errors import InputError
from evo2_embed.io.later import OlderFile
from evo2_embed.io.parts import Parts
from evo2_embed.io.tables import CHUNKS, PACKS, open_table, read_rows, table_writer
from evo2_embed.pack.pack_shard import pack_shard
from evo2_embed.pack.read import read_chunk_keys, read_packs
from evo2_embed.settings.jobs import Packing
from evo2_embed.settings.windows import Windows

OLDER = Path(__file__).with_name("older")


@pytest.fixture
def today(tmp_path):
    """The chunk table and the packs that the same input gives today."""
    genomes, chunks = [Genome("g", str(OLDER / "genome.fa"))], str(tmp_path / "chunks.parquet")
    windows = Windows(size=40, stride=30, strands="both").to_dict()
    chunk_bundle(genomes, windows, str(tmp_path / "i"), chunks, 3)
    packs = tmp_path / "packs.parquet"
    how = {"packing": Packing(max_tokens=100, piece=100).to_dict(), "code": 3}
    pack_shard(genomes, chunks, 0, 1, how, str(tmp_path / "i"), str(packs))
    return Path(chunks), packs


def test_an_older_chunk_table_is_read_as_one_of_today(today):
    older, new = (open_table(path, CHUNKS) for path in (OLDER / "chunks.parquet", today[0]))
    assert isinstance(older, OlderFile)
    assert "parts" not in pl.read_parquet(OLDER / "chunks.parquet").columns
    # The older one has a row group per contig, with dictionaries of their own.
    assert older.read().schema.equals(new.read().schema)
    assert older.read().to_pylist() == new.read().to_pylist()
    first = older.read_row_group(0).to_pylist()
    assert 0 < len(first) < older.metadata.num_rows
    assert first == new.read().to_pylist()[: len(first)]
    columns = ["parts", "start"]
    assert older.read(columns).equals(new.read(columns))
    assert read_rows(older, 2, 5, columns).equals(read_rows(new, 2, 5, columns))
    batches = [next(file.iter_batches(3, columns=columns)) for file in (older, new)]
    assert batches[0].equals(batches[1])


def test_a_table_without_only_the_newest_columns_is_read_as_one_of_today(today, tmp_path):
    file = open_table(today[0], CHUNKS)
    before = [name for name in CHUNKS.names if name not in ("variant", "insert")]
    schema = pa.schema([CHUNKS.field(name) for name in before])
    with table_writer(tmp_path / "between.parquet", schema) as writer:
        writer.write_table(file.read(before))
    between = open_table(tmp_path / "between.parquet", CHUNKS)
    assert isinstance(between, OlderFile)
    assert between.read().to_pylist() == file.read().to_pylist()
    columns = ["insert", "parts", "start"]
    assert between.read(columns).equals(file.read(columns))


def test_a_table_without_a_column_that_was_always_there_is_refused(today, tmp_path):
    columns = [field for field in CHUNKS if field.name != "gc"]
    with table_writer(tmp_path / "other.parquet", pa.schema(columns)) as writer:
        writer.write_table(open_table(today[0], CHUNKS).read([field.name for field in columns]))
    with pytest.raises(InputError, match="columns are not as expected"):
        open_table(tmp_path / "other.parquet", CHUNKS)


def test_shards_are_packed_from_an_older_chunk_table_as_from_one_of_today(today, tmp_path):
    shutil.copy(OLDER / "chunks.parquet", today[0])
    genomes, packs = [Genome("g", str(OLDER / "genome.fa"))], tmp_path / "again.parquet"
    how = {"packing": Packing(max_tokens=100, piece=100).to_dict(), "code": 3}
    pack_shard(genomes, str(today[0]), 0, 1, how, str(tmp_path / "i"), str(packs))
    assert open_table(packs, PACKS).read().equals(open_table(today[1], PACKS).read())


def test_older_packs_are_read_as_those_of_today(today):
    older, new = (open_table(path, PACKS) for path in (OLDER / "packs.parquet", today[1]))
    for one, other in zip(read_packs(older, "older"), read_packs(new, "new"), strict=True):
        assert one.keys() == other.keys()
        for name, value in one.items():
            np.testing.assert_array_equal(value, other[name])
    # Columns of forks and of variants are only in files that have some.
    columns = pl.read_parquet(OLDER / "packs.parquet").columns
    assert pl.read_parquet(today[1]).columns == [*columns, "parts"]
    rows = [ShardRows(read_chunk_keys(file), {"bin": 7}) for file in (older, new)]
    for name, column in rows[0].keys(0, rows[0].count).items():
        assert column.equals(rows[1].keys(0, rows[1].count)[name])


def test_rows_of_an_older_dataset_have_one_exon():
    dataset = Dataset.open(OLDER / "norm.json")
    keys, vectors = dataset.read_at(np.array([1, 3]))
    assert keys["exons"].to_list() == [1, 1]
    assert vectors.tolist() == [[3, 4, 5], [9, 10, 11]]
    assert dataset.keys(["exons", "genome", "contig"])["exons"].dtype == pl.Int32
    assert dataset.keys()["exons"].to_list() == [1] * 4


def test_parts_keep_through_a_column_and_a_choice_of_windows():
    parts = Parts(np.array([0, 0, 2, 3, 3]), np.array([5, 20, 90]), np.array([9, 30, 99]))
    start, end = np.array([0, 5, 90, 7]), np.array([4, 30, 99, 8])
    assert parts.bases(start, end).tolist() == [4, 14, 9, 1]
    assert not parts.faults(start, end).any()
    column = pa.array(parts, CHUNKS.field("parts").type)
    assert column.to_pylist() == [None, [5, 9, 20, 30], [90, 99], None]
    for which in (np.array([2, 1]), np.array([False, True, True, False]), slice(1, 3)):
        chosen = parts[which]
        again = Parts.from_arrow(column.take(pa.array(np.arange(4)[which])))
        assert [chosen.of(i) for i in range(2)] == [again.of(i) for i in range(2)]


@pytest.mark.parametrize(
    ("end", "parts", "bad"),
    [
        (30, [5, 9, 20, 30], False),
        (30, [5, 9, 20, 29], True),
        (30, [6, 9, 20, 30], True),
        (30, [5, 21, 20, 30], True),
        (30, [5, 9, 12, 12, 20, 30], True),
        # Over the origin of a contig of 100 bases.
        (108, [5, 100, 0, 8], False),
        (104, [5, 40, 90, 100, 0, 1, 3, 4], False),
    ],
)
def test_parts_that_are_not_those_of_their_window_are_seen(end, parts, bad):
    found = Parts.from_lists(np.array([len(parts)]), np.array(parts))
    assert found.faults(np.array([5]), np.array([end])).tolist() == [bad]
