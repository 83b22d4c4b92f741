"""One vector per genome or contig."""

import numpy as np
import polars as pl
import pyarrow as pa

from evo2_embed.dataset.dataset import Dataset
from evo2_embed.dataset.levels import level_means, level_schema
from evo2_embed.io.errors import InputError
from evo2_embed.io.tables import open_table, vectors_to_numpy

_BLOCK = 1024  # rows in float64 at a time


def means(dataset: Dataset, level: str, strands: str) -> pl.DataFrame:
    """Token-weighted means over genomes or contigs, see `Embeddings.genomes`.

    Parameters
    ----------
    dataset : Dataset
    level : {"genome", "contig"}
    strands : {"mean", "keep"}
    """
    if strands not in ("mean", "keep"):
        raise InputError(f"strands: '{strands}' (allowed: mean, keep)")
    if "embedding" not in dataset.schema.names:
        raise InputError(f"{dataset.path}: has no embeddings, so no means of them")
    if dataset.has_variants:
        raise InputError(
            f"{dataset.path}: has rows of variants, two alleles of the same bases; it has no means"
        )
    table = _table(dataset, level)
    keys = pl.from_arrow(table.drop_columns("embedding"))
    keys = keys.drop("contig") if level == "genome" else keys
    values = vectors_to_numpy(table["embedding"], dataset.width)
    if strands == "mean":
        keys, values = _joined(keys, values, _halves(dataset))
    return keys.with_columns(pl.Series("embedding", values, pl.Array(pl.Float32, values.shape[1])))


def _table(dataset: Dataset, level: str) -> pa.Table:
    """One vector per genome or contig, and strand: the table of the level, if the run wrote one;
    else the same numbers, from all rows."""
    schema = level_schema(dataset.width)
    known = dataset.record["levels"].get(level)
    if known is not None:
        return open_table(dataset.path.with_name(known["file"]), schema, known["sha256"]).read()
    tables = level_means(dataset.row_groups(), level, dataset.width)
    return pa.concat_tables([schema.empty_table(), *tables])


def _halves(dataset: Dataset) -> int:
    """How many strands lie side by side in a vector: 2 in a fusion with `strands: concat`."""
    return 2 if dataset.record.get("fusion", {}).get("strands") == "concat" else 1


def _joined(keys: pl.DataFrame, values: np.ndarray, halves: int) -> tuple[pl.DataFrame, np.ndarray]:
    """One row per genome or contig, in their order, from rows of strands.

    Parameters
    ----------
    keys : DataFrame, n rows
    values : ndarray of float32, (n, width)
    halves : int
        Strands in a vector.
    """
    by = [name for name in ("genome", "contig") if name in keys.columns]
    groups = keys.with_row_index("row").group_by(by, maintain_order=True)
    joined = groups.agg("row", pl.col("n_rows", "n_tokens").sum())
    weights = keys["n_tokens"].to_numpy()
    means = np.empty((len(joined), values.shape[1] // halves), np.float32)
    # A genome or contig has one row, or one per strand.
    one, other = joined["row"].list.first().to_numpy(), joined["row"].list.last().to_numpy()
    for first in range(0, len(joined), _BLOCK):
        some = slice(first, first + _BLOCK)
        a, b = one[some], other[some]
        plus, minus = (values[rows].astype(np.float64) for rows in (a, b))
        share = (weights[a] / (weights[a] + weights[b]))[:, None]
        mean = np.where((a == b)[:, None], plus, share * plus + (1 - share) * minus)
        means[some] = mean.reshape(len(mean), halves, -1).mean(axis=1)
    return joined.drop("row"), means
