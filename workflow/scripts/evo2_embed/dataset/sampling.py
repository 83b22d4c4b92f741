"""A few rows of a large dataset, the same ones every time."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from evo2_embed.io.tables import CHUNKS, embeddings_schema, open_table, vectors_to_numpy

_GC_COLUMNS = ("genome", "contig", "strand", "start", "end", "gc")


@dataclass(frozen=True)
class Sample:
    """Rows of a dataset: keys (with the GC share of their chunk), and vectors (n, width)."""

    keys: pl.DataFrame
    vectors: np.ndarray


def evenly(rows: int, most: int) -> np.ndarray:
    """Numbers of at most `most` of so many rows, evenly spaced, first and last among them."""
    return np.unique(np.linspace(0, rows - 1, min(most, rows)).astype(np.int64))


def read_at(folder: Path, dataset: dict, wanted: np.ndarray) -> tuple[pa.Table, np.ndarray]:
    """Rows of a dataset, reading one row group at a time.

    Parameters
    ----------
    folder : Path
        The dataset.
    dataset : dict
        Its record, or its entry of the manifest: `parts`, `rows`, `width`, `dtype`.
    wanted : ndarray of int64, (n,)
        Numbers of rows, ascending.

    Returns
    -------
    keys : Table of n rows
        All columns but the vectors.
    vectors : ndarray of float32, (n, width)

    Raises
    ------
    InputError
        When a file is missing or not as it was written.
    """
    schema = embeddings_schema(dataset["width"], dataset["dtype"])
    tables, first = [schema.empty_table()], 0
    for part in dataset["parts"]:
        record = folder.with_name(f"{folder.name}.json")
        file = open_table(folder / part["file"], schema, part["sha256"], record)
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            mine = wanted[(wanted >= first) & (wanted < first + rows)] - first
            if len(mine):
                tables.append(file.read_row_group(group).take(mine))
            first += rows
    table = pa.concat_tables(tables).unify_dictionaries()
    values = vectors_to_numpy(table["embedding"], dataset["width"]).astype(np.float32)
    return table.drop_columns(["embedding"]), values


def sample_layer(folder: Path, layer: dict, chunks: list[str], most: int) -> Sample:
    """Take evenly spaced rows of a dataset.

    Parameters
    ----------
    folder : Path
        The dataset.
    layer : dict
        Its entry of the manifest.
    chunks : list of str
        Chunk tables of all bundles, for the GC share of rows.
    most : int
    """
    table, values = read_at(folder, layer, evenly(layer["rows"], most))
    keys = pl.from_arrow(table).with_columns(pl.col("genome", "contig").cast(pl.String))
    return Sample(add_gc(keys, chunks), values)


def add_gc(keys: pl.DataFrame, chunks: list[str]) -> pl.DataFrame:
    """Add to rows the GC share of the chunk that holds them, null where none is found.

    The chunk tables are read batch by batch, so memory does not grow with them.

    Parameters
    ----------
    keys : DataFrame
        Columns genome, contig, start, end, strand.
    chunks : list of str
        Chunk tables of all bundles.
    """
    left = keys.with_row_index("row").with_columns(gc=pl.lit(None, pl.Float32)).sort("start")
    for path in chunks:
        for batch in open_table(path, CHUNKS).iter_batches(columns=list(_GC_COLUMNS)):
            left = _fill_gc(left, pl.from_arrow(batch))
    return left.sort("row").drop("row")


def _fill_gc(rows: pl.DataFrame, chunks: pl.DataFrame) -> pl.DataFrame:
    """Fill in the GC shares that a batch of chunks knows, of the last chunk before each row.

    A row that this chunk does not hold is looked for in the chunks that are left without it: where
    regions overlap, an inner one may end before the row and an outer one hold it.
    """
    chunks = chunks.with_columns(pl.col("genome", "contig").cast(pl.String)).sort("start")
    chunks = chunks.rename({"end": "chunk_end", "gc": "chunk_gc"}).with_columns(begin="start")
    asked = rows.filter(pl.col("gc").is_null())
    found = []
    while len(asked) and len(chunks):
        by = ["genome", "contig", "strand"]
        # How far the chunks up to each one reach: past that, none of them holds a row.
        chunks = chunks.with_columns(reach=pl.col("chunk_end").cum_max().over(by))
        joined = asked.join_asof(chunks, on="start", by=by, check_sortedness=False)
        joined = joined.filter(pl.col("begin").is_not_null())
        holds = pl.col("chunk_end") >= pl.col("end")
        found.append(joined.filter(holds).select("row", pl.col("chunk_gc").alias("found")))
        missed = joined.filter(~holds & (pl.col("reach") >= pl.col("end")))
        asked = asked.join(missed.select("row"), on="row", how="semi", maintain_order="left")
        keys = missed.select(*by, pl.col("begin").alias("start"), "chunk_end").unique()
        chunks = chunks.join(
            keys, on=[*by, "start", "chunk_end"], how="anti", maintain_order="left"
        )
    if not found:
        return rows
    rows = rows.join(pl.concat(found), on="row", how="left", maintain_order="left")
    return rows.with_columns(pl.coalesce("gc", "found").alias("gc")).drop("found")
