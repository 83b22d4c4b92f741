"""GC content of rows, from the chunk tables."""

import numpy as np
import polars as pl
import pyarrow as pa

from evo2_embed.analysis.probes.intervals import Axis
from evo2_embed.dataset.dataset import to_polars
from evo2_embed.io.tables import CHUNKS, open_table

_COLUMNS = ["genome", "contig", "start", "end", "strand", "gc"]


def add_gc(keys: pl.DataFrame, chunks: list[str]) -> pl.DataFrame:
    """Add to rows the GC content of their chunk, as the column `gc`; null without a chunk.

    If several chunks hold a row, the one that starts last counts. The chunk tables are read batch
    by batch, so memory does not grow with them.

    Parameters
    ----------
    keys : DataFrame
        Columns genome, contig, start, end, strand; genomes and contigs as strings.
    chunks : list of str
        Chunk tables of all bundles.
    """
    axis = Axis(keys, stranded=True)
    starts, ends = axis.locate_rows(keys)
    rows = pl.DataFrame({"row": np.arange(len(keys)), "first": starts, "last": ends})
    found = [pl.DataFrame(schema={"row": pl.Int64, "begin": pl.Int64, "gc": pl.Float32})]
    for path in chunks:
        for batch in open_table(path, CHUNKS).iter_batches(columns=_COLUMNS):
            holders = axis.locate_intervals(to_polars(pa.Table.from_batches([batch])))
            pairs = rows.join_where(
                holders.select("begin", "stop", "gc"),
                pl.col("begin") <= pl.col("first"),
                pl.col("stop") >= pl.col("last"),
            )
            found.append(pairs.select("row", "begin", "gc"))
    gc = pl.concat(found).group_by("row").agg(pl.col("gc").sort_by("begin", "gc").last())
    gc = rows.select("row").join(gc, on="row", how="left", maintain_order="left")
    return keys.with_columns(gc["gc"])
