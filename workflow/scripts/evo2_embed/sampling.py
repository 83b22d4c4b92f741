"""A few rows of a large dataset, the same ones every time."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from evo2_embed.tables import vectors_to_numpy

MOST_ROWS = 3000


@dataclass(frozen=True)
class Sample:
    """Rows of a dataset: keys (with the GC share of their chunk), and vectors (n, width)."""

    keys: pl.DataFrame
    vectors: np.ndarray


def sample_layer(folder: Path, layer: dict, gc: pl.LazyFrame, most: int = MOST_ROWS) -> Sample:
    """Take evenly spaced rows of a layer's dataset, reading one row group at a time.

    Parameters
    ----------
    folder : Path
        The dataset.
    layer : dict
        Its entry of the manifest.
    gc : LazyFrame
        Columns genome, contig, strand, start, gc of all chunks.
    most : int
    """
    wanted = np.unique(np.linspace(0, layer["rows"] - 1, min(most, layer["rows"])).astype(np.int64))
    tables, first = [], 0
    for part in layer["parts"]:
        file = pq.ParquetFile(folder / part["file"])
        for group in range(file.num_row_groups):
            rows = file.metadata.row_group(group).num_rows
            mine = wanted[(wanted >= first) & (wanted < first + rows)] - first
            if len(mine):
                tables.append(file.read_row_group(group).take(mine))
            first += rows
    table = pa.concat_tables(tables).unify_dictionaries() if tables else pa.table({})
    vectors = vectors_to_numpy(table["embedding"], layer["width"]).astype(np.float32)
    keys = pl.from_arrow(table.drop_columns(["embedding"])).with_columns(
        pl.col("genome", "contig").cast(pl.String)
    )
    return Sample(_with_gc(keys, gc), vectors)


def chunk_gc(chunks: list[str]) -> pl.LazyFrame:
    """GC share of every chunk, by genome, contig, strand and start."""
    columns = ["genome", "contig", "strand", "start", "gc"]
    frames = [
        pl.scan_parquet(path).select(columns).with_columns(pl.col("genome", "contig").cast(pl.String))
        for path in chunks
    ]
    return pl.concat(frames).sort("start")


def _with_gc(keys: pl.DataFrame, gc: pl.LazyFrame) -> pl.DataFrame:
    # A bin has the GC share of the last chunk that starts at or before it.
    by = ["genome", "contig", "strand"]
    left = keys.with_row_index("row").lazy().sort("start")
    joined = left.join_asof(gc, on="start", by=by, check_sortedness=False).collect()
    return joined.sort("row").drop("row")
