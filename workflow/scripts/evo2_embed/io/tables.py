"""The workflow's tables: their columns, and how they are read and written.

Every table is checked when it is written and when it is read (`row_checks`). The file's metadata
has one JSON document under the key `evo2_embed`: the settings and inputs of the table.
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from evo2_embed.io.errors import InputError
from evo2_embed.io.files import atomic_path
from evo2_embed.io.integrity import PARQUET_KEY, UNSEALED, has_digest, is_sealed, seal_parquet
from evo2_embed.io.later import OlderFile, is_older
from evo2_embed.io.parts import COLUMN as PARTS
from evo2_embed.io.parts import Parts

METADATA_KEY = b"evo2_embed"
LABEL = pa.dictionary(pa.int32(), pa.string())

# One row per window of a contig on one strand. `chunk` numbers the rows of a bundle from 0, and
# `stretch` its stretches in the order of their first chunks. `context` is the number of bases of
# the stretch up to the end of the chunk, its own included. `gc` and `ambiguous` are shares of all
# letters. `crc32` is the checksum of the tokens of the forward strand. `parts` has start, end,
# start, end ... of the parts that are joined (`io.parts`); it is null if the chunk is simply
# [start, end). `length` counts the bases of the parts.
#
# The columns from `variant` on are null but for windows of variants. `variant` is
# contig:position:reference:alternate, with the position from 1, `id` the record's in the VCF, and
# `allele` ref or alt. `fork` is the number of bases of the stretch, in the direction of the strand,
# before the variant; all bases of the chunk before it are reference. An alternate also has
# `insert`: the letters of its allele on the forward strand, which are in place of those of the
# reference allele. [start, end) is what it covers of the reference, so that `length` differs from
# end - start if the alleles differ in length. If an alternate has a `parent`, its first `fork`
# bases are those of the stretch with that number, and only those that follow belong to its own.
CHUNKS = pa.schema(
    [
        pa.field("chunk", pa.int64(), nullable=False),
        pa.field("genome", LABEL, nullable=False),
        pa.field("contig", LABEL, nullable=False),
        pa.field("start", pa.int64(), nullable=False),
        pa.field("end", pa.int64(), nullable=False),
        pa.field("strand", pa.string(), nullable=False),
        pa.field("name", pa.string()),
        pa.field("length", pa.int32(), nullable=False),
        pa.field("stretch", pa.int64(), nullable=False),
        pa.field("context", pa.int64(), nullable=False),
        pa.field("gc", pa.float32(), nullable=False),
        pa.field("ambiguous", pa.float32(), nullable=False),
        pa.field("crc32", pa.uint32(), nullable=False),
        pa.field("parts", PARTS),
        pa.field("variant", pa.string()),
        pa.field("id", pa.string()),
        pa.field("allele", pa.string()),
        pa.field("parent", pa.int64()),
        pa.field("fork", pa.int64()),
        pa.field("insert", pa.string()),
    ]
)

# One row per pack. `tokens`, one byte per token, holds the segments end to end. For strategy
# `padded` it holds rows of `width` tokens, and `mask`, one byte per token, is 0 for padding. (Lists
# of numbers took four times as long to write.) Segment i has the tokens cu_seqlens[i] to
# cu_seqlens[i + 1], padding not counted. It is a part of `stretch`, with `position` tokens in
# earlier packs and `left` in later ones. The first token of a stretch is its BOS, if there is one.
# The lists from `chunk` on have one entry per chunk whose last token is in the pack, in the order
# of those tokens: `segment` is the index of its segment in the pack, and `context` the number of
# bases of the stretch up to its end. `parts` is null if no chunk of the pack has parts; else it is
# empty for the chunks without.
#
# A fork begins inside another stretch, its parent, after tokens that both have in common. Only the
# tokens after those belong to it, but `position` and `context` count from the parent's start.
# `parent` has the parent's stretch for the first segment of each fork, and -1 for all others. A
# file without forks does not have the column.
#
# The lists from `length` on, `VARIANT_KEYS`, are those of the chunk table. A file without windows
# of variants does not have them.
PACKS = pa.schema(
    [
        pa.field("pack", pa.int32(), nullable=False),
        pa.field("tokens", pa.large_binary(), nullable=False),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("mask", pa.large_binary()),
        pa.field("cu_seqlens", pa.large_list(pa.int32()), nullable=False),
        pa.field("stretch", pa.large_list(pa.int64()), nullable=False),
        pa.field("position", pa.large_list(pa.int64()), nullable=False),
        pa.field("left", pa.large_list(pa.int64()), nullable=False),
        pa.field("chunk", pa.large_list(pa.int64()), nullable=False),
        pa.field("segment", pa.large_list(pa.int32()), nullable=False),
        pa.field("context", pa.large_list(pa.int64()), nullable=False),
        pa.field("genome", pa.large_list(pa.string()), nullable=False),
        pa.field("contig", pa.large_list(pa.string()), nullable=False),
        pa.field("start", pa.large_list(pa.int64()), nullable=False),
        pa.field("end", pa.large_list(pa.int64()), nullable=False),
        pa.field("strand", pa.large_list(pa.string()), nullable=False),
        pa.field("name", pa.large_list(pa.string()), nullable=False),
        pa.field("parts", pa.large_list(PARTS)),
        pa.field("parent", pa.large_list(pa.int64())),
        pa.field("length", pa.large_list(pa.int32())),
        pa.field("variant", pa.large_list(pa.string())),
        pa.field("id", pa.large_list(pa.string())),
        pa.field("allele", pa.large_list(pa.string())),
        pa.field("fork", pa.large_list(pa.int64())),
        pa.field("insert", pa.large_list(pa.string())),
    ]
)

# One row per genome of the sheet; `skipped` counts contigs and windows, `reason` says why the
# genome is left out.
GENOMES = pa.schema(
    [
        pa.field("genome", pa.string(), nullable=False),
        pa.field("fasta", pa.string(), nullable=False),
        *(
            pa.field(name, pa.int64(), nullable=False)
            for name in ("contigs", "bases", "windows", "tokens", "skipped")
        ),
        pa.field("reason", pa.string()),
    ]
)

# What the rows of a chunk of a variant depend on, beside the keys of all chunks.
VARIANT_KEYS = ("length", "variant", "id", "allele", "fork", "insert")

ROW_GROUP_BYTES = 4 << 20  # of vectors, before compression
ROW_GROUP_ROWS = 8192

# Columns of the scores of a row: the sum and the mean of log p(base | bases before it) over the
# bases that have one, and their number. `mean` is null where none has one.
SCORE_COLUMNS = ("sum", "mean", "scored")

KEYS = ("genome", "contig", "start", "end", "strand", "name", "n_tokens", "context", "exons")


# Keys of tables with rows of variants; null for other rows.
OF_VARIANT = ("variant", "id", "allele")


def embeddings_schema(
    width: int, dtype: str, chunk: bool = False, variants: bool = False
) -> pa.Schema:
    """Columns of an embedding table: keys and a vector of `width` dimensions.

    `context` is the number of bases that the row's last token has seen, its own included. `exons`
    is the number of exons that the row's bases come from: 1 if nothing is spliced.

    Parameters
    ----------
    width : int
        Dimensions of a vector.
    dtype : {"float32", "float16"}
    chunk : bool
        Whether rows also carry the number of their chunk, as a shard's do.
    variants : bool
        Whether rows also have the columns `OF_VARIANT`.
    """
    number = {"float32": pa.float32(), "float16": pa.float16()}[dtype]
    item = pa.field("item", number, nullable=False)
    vector = pa.field("embedding", pa.list_(item, width), nullable=False)
    return pa.schema([*_key_fields(chunk, variants), vector])


def scores_schema(chunk: bool = False, variants: bool = False) -> pa.Schema:
    """Columns of a table of scores: the keys of an embedding table, and `SCORE_COLUMNS`."""
    scores = [
        pa.field("sum", pa.float64(), nullable=False),
        pa.field("mean", pa.float64()),
        pa.field("scored", pa.int32(), nullable=False),
    ]
    return pa.schema([*_key_fields(chunk, variants), *scores])


def scores_columns(sums: np.ndarray, scored: np.ndarray) -> dict[str, pa.Array]:
    """The columns of scores, from the sums (float64, (n,)) and the numbers of scored bases."""
    nothing = scored == 0
    means = sums / np.maximum(scored, 1)
    return {
        "sum": pa.array(sums),
        "mean": pa.array(means, mask=nothing),
        "scored": pa.array(scored.astype(np.int32)),
    }


def _key_fields(chunk: bool, variants: bool) -> list[pa.Field]:
    fields = [
        pa.field("genome", LABEL, nullable=False),
        pa.field("contig", LABEL, nullable=False),
        pa.field("start", pa.int64(), nullable=False),
        pa.field("end", pa.int64(), nullable=False),
        pa.field("strand", pa.string(), nullable=False),
        pa.field("name", pa.string()),
        pa.field("n_tokens", pa.int32(), nullable=False),
        pa.field("context", pa.int32(), nullable=False),
        pa.field("exons", pa.int32(), nullable=False),
    ]
    fields += [pa.field(name, pa.string()) for name in OF_VARIANT] if variants else []
    return ([pa.field("chunk", pa.int64(), nullable=False)] if chunk else []) + fields


def vectors(array: np.ndarray) -> pa.FixedSizeListArray:
    """An (n, width) array of numbers as a column of vectors, without a copy."""
    item = pa.field("item", pa.from_numpy_dtype(array.dtype), nullable=False)
    flat = pa.array(np.ascontiguousarray(array).reshape(-1))
    return pa.FixedSizeListArray.from_arrays(flat, type=pa.list_(item, array.shape[1]))


def vectors_to_numpy(column: pa.ChunkedArray | pa.Array, width: int) -> np.ndarray:
    """A column of vectors as an (n, width) array."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    return column.flatten().to_numpy(zero_copy_only=False).reshape(-1, width)


def to_numpy(column: pa.ChunkedArray | pa.Array) -> np.ndarray | Parts:
    """A key column as an array: numbers as they are, text as Python objects, (n,). A number that is
    null is -1."""
    if column.type == PARTS:
        return Parts.from_arrow(column)
    if pa.types.is_integer(column.type):
        return (pc.fill_null(column, -1) if column.null_count else column).to_numpy()
    return np.array(column.to_pylist(), object)


def metadata_schema(schema: pa.Schema, metadata: dict) -> pa.Schema:
    """The schema with `metadata` under the workflow's key."""
    text = json.dumps(metadata, sort_keys=True, ensure_ascii=False)
    return schema.with_metadata({METADATA_KEY: text.encode()})


@contextmanager
def table_writer(path: str | Path, schema: pa.Schema, **options) -> Iterator[pq.ParquetWriter]:
    """A Parquet writer; `options` are those of pyarrow. Its file appears, with its digest, only if
    the block succeeds."""
    with atomic_path(path) as temporary:
        with parquet_writer(temporary, schema, **options) as writer:
            yield writer
            writer.add_key_value_metadata({PARQUET_KEY: UNSEALED})
        seal_parquet(temporary)


def parquet_writer(path: str | Path, schema: pa.Schema, **options) -> pq.ParquetWriter:
    """A Parquet writer with this workflow's settings: zstd, and a page index for region queries."""
    return pq.ParquetWriter(path, schema, compression="zstd", write_page_index=True, **options)


def row_group_rows(width: int, itemsize: int) -> int:
    """Rows per row group: small, so that a query of a region reads little."""
    return max(1, min(ROW_GROUP_ROWS, ROW_GROUP_BYTES // (width * itemsize)))


def check_file(
    path: str | Path, sha256: str | None = None, redo: Path | None = None, size: int | None = None
) -> None:
    """Check that a Parquet file has not changed since it was written, see `open_table`."""
    path, how = Path(path), _how(path, redo)
    if not path.is_file():
        raise InputError(f"{path}: the file is missing; {how if redo else 'rerun to redo it'}")
    if size is not None:
        whole = path.stat().st_size == size
    else:
        whole = is_sealed(path) if sha256 is None else has_digest(path, sha256)
    if not whole:
        raise InputError(f"{path}: damaged or changed since it was written; {how}")


def _how(path: str | Path, redo: Path | None) -> str:
    return f"delete {redo or path} and rerun to redo it"


def open_table(
    path: str | Path,
    schema: pa.Schema,
    sha256: str | None = None,
    redo: Path | None = None,
    size: int | None = None,
) -> pq.ParquetFile:
    """Open a Parquet file; check that it has not changed since it was written, and its columns.

    Parameters
    ----------
    path : path
    schema : pyarrow.Schema
    sha256 : str, optional
        Digest of the file from a record. Without it, the file must contain its digest.
    redo : Path, optional
        What to delete so that the file is made again. Default: the file itself.
    size : int, optional
        Bytes of the file from a record. If it is given, only the size is compared: a query of some
        rows does not read the whole file.

    Raises
    ------
    InputError
        If it is missing, damaged, a different file, or has other columns than `schema`.
    """
    check_file(path, sha256, redo, size)
    file = pq.ParquetFile(path)
    if file.schema_arrow.equals(schema):
        return file
    if is_older(file.schema_arrow, schema):
        return OlderFile(path, schema)
    raise InputError(f"{path}: columns are not as expected; {_how(path, redo)}")


def table_metadata(file: pq.ParquetFile) -> dict:
    """Metadata of a table's file: its settings and inputs."""
    return json.loads((file.metadata.metadata or {}).get(METADATA_KEY, b"{}"))


def read_rows(file: pq.ParquetFile, start: int, stop: int, columns: list[str]) -> pa.Table:
    """Rows [start, stop) of a Parquet file, reading only the row groups that hold them."""
    groups, first, row = [], 0, 0
    for group in range(file.num_row_groups):
        rows = file.metadata.row_group(group).num_rows
        if row < stop and row + rows > start:
            first = row if not groups else first
            groups.append(group)
        row += rows
    if not groups:
        return file.schema_arrow.empty_table().select(columns)
    return file.read_row_groups(groups, columns=columns).slice(start - first, stop - start)


def gathered(tables: Iterable[pa.Table], rows: int) -> Iterator[pa.Table]:
    """The same rows in fewer tables: each has at least this many, except the last."""
    held, n = [], 0
    for table in tables:
        held.append(table)
        n += len(table)
        if n >= rows:
            yield _together(held)
            held, n = [], 0
    if held:
        yield _together(held)


def _together(tables: list[pa.Table]) -> pa.Table:
    return pa.concat_tables(tables).unify_dictionaries().combine_chunks()


def chunk_table(columns: dict[str, np.ndarray | Parts | pa.Array]) -> pa.Table:
    """Rows of a chunk table from their columns, (n,) each; those that are not there are null."""
    n = len(columns["start"])
    arrays = [
        pa.array(columns[field.name], field.type)
        if field.name in columns
        else pa.nulls(n, field.type)
        for field in CHUNKS
    ]
    return pa.table(arrays, CHUNKS)
