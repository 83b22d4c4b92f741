"""GC content of rows, from the chunk tables."""

import numpy as np
import polars as pl
import pyarrow as pa

from evo2_embed.analysis.probes.intervals import Axis
from evo2_embed.dataset.dataset import to_polars
from evo2_embed.io.tables import CHUNKS, open_table

_COLUMNS = ["genome", "contig", "start", "end", "strand", "name", "gc"]


def add_gc(keys: pl.DataFrame, chunks: list[str]) -> pl.DataFrame:
    """Add to rows the GC content of their chunk, as the column `gc`; null without a chunk.

    If several chunks of the row's name hold it, the one that starts last counts, and of these the
    shortest. The chunk tables are read batch by batch, so memory does not grow with them.

    Parameters
    ----------
    keys : DataFrame
        Columns genome, contig, start, end, strand, name; genomes and contigs as strings.
    chunks : list of str
        Chunk tables of all bundles.
    """
    axis = Axis(keys, stranded=True)
    starts, ends = axis.locate_rows(keys)
    rows = pl.DataFrame(
        {"row": np.arange(len(keys)), "first": starts, "last": ends, "of": keys["name"]}
    )
    found = []
    for path in chunks:
        for batch in open_table(path, CHUNKS).iter_batches(columns=_COLUMNS):
            holders = axis.locate_intervals(to_polars(pa.Table.from_batches([batch])))
            pairs = rows.join_where(
                holders.select("begin", "stop", "end", "name", "gc"),
                pl.col("begin") <= pl.col("first"),
                pl.col("stop") >= pl.col("last"),
            )
            found.append(pairs.filter(pl.col("name").eq_missing(pl.col("of"))))
    # By `end`: on the axis, a chunk stops where the last row of its contig does.
    nearest = pl.col("gc").sort_by("begin", -pl.col("end")).last()
    gc = pl.concat(found).group_by("row").agg(nearest)
    gc = rows.select("row").join(gc, on="row", how="left", maintain_order="left")
    return keys.with_columns(gc["gc"])
