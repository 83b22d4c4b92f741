"""A few rows of a large dataset, the same ones every time."""

from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa

from evo2_embed.dataset.dataset import Dataset, to_polars
from evo2_embed.io.tables import CHUNKS, open_table

_GC_COLUMNS = ("genome", "contig", "strand", "start", "end", "gc")


@dataclass(frozen=True)
class Sample:
    """Rows of a dataset: keys (with the GC share of their chunk), and vectors (n, width)."""

    keys: pl.DataFrame
    vectors: np.ndarray


def evenly(rows: int, most: int) -> np.ndarray:
    """Numbers of at most `most` of so many rows, evenly spaced, first and last among them."""
    return np.unique(np.linspace(0, rows - 1, min(most, rows)).astype(np.int64))


def sample_dataset(dataset: Dataset, chunks: list[str], most: int) -> Sample:
    """Take at most `most` evenly spaced rows of a dataset.

    Parameters
    ----------
    dataset : Dataset
    chunks : list of str
        Chunk tables of all bundles, for the GC share of rows.
    most : int
    """
    keys, vectors = dataset.read_at(evenly(dataset.rows, most))
    return Sample(add_gc(keys, chunks), vectors)


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
            left = _fill_gc(left, to_polars(pa.Table.from_batches([batch])))
    return left.sort("row").drop("row")


def _fill_gc(rows: pl.DataFrame, chunks: pl.DataFrame) -> pl.DataFrame:
    """Fill in the GC shares that a batch of chunks knows, of the last chunk before each row.

    A row that this chunk does not hold is looked for in the chunks that are left without it: where
    regions overlap, an inner one may end before the row and an outer one hold it.
    """
    chunks = (
        chunks.sort("start")
        .rename({"end": "chunk_end", "gc": "chunk_gc"})
        .with_columns(begin="start")
    )
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
