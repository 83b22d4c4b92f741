"""Contigs end to end on one axis, and how much of a row intervals cover."""

import numpy as np
import polars as pl


class Axis:
    """The contigs of rows, each a stretch of one axis of integers.

    Parameters
    ----------
    keys : DataFrame
        Rows: genome, contig (strings), start, end, strand.
    stranded : bool
        Whether each strand has a stretch of its own.
    margin : int
        Room (bases) before and after each contig.
    """

    def __init__(self, keys: pl.DataFrame, stranded: bool = False, margin: int = 0):
        self.stranded, self.margin = stranded, margin
        lengths = keys.group_by("genome", "contig", maintain_order=True).agg(
            length=pl.col("end").max()
        )
        room = pl.col("length") + 2 * margin
        self.contigs = lengths.with_columns(offset=room.cum_sum() - room + margin)
        self.length = int(lengths["length"].sum()) + 2 * margin * len(lengths)

    def place_rows(self, keys: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Starts and ends of rows on the axis, (n,) each."""
        placed = keys.join(self.contigs, on=["genome", "contig"], how="left", maintain_order="left")
        offset = placed["offset"].to_numpy()
        if self.stranded:
            offset = offset + np.where(keys["strand"].to_numpy() == "-", self.length, 0)
        return keys["start"].to_numpy() + offset, keys["end"].to_numpy() + offset

    def place_intervals(self, table: pl.DataFrame) -> pl.DataFrame:
        """Intervals with `begin` and `stop` on the axis.

        Parameters
        ----------
        table : DataFrame
            genome, contig, start, end, strand and what else they have. An interval without a strand
            is on both. What lies beyond the rows of its contig is left out.
        """
        placed = table.join(self.contigs, on=["genome", "contig"], how="inner")
        placed = placed.filter(pl.col("start") < pl.col("length")).with_columns(
            begin=pl.col("start") + pl.col("offset"),
            stop=pl.min_horizontal("end", "length") + pl.col("offset"),
        )
        if not self.stranded:
            return placed
        forward = placed.filter(pl.col("strand") != "-")
        reverse = placed.filter(pl.col("strand") != "+").with_columns(
            pl.col("begin", "stop") + self.length
        )
        return pl.concat([forward, reverse])


def covered(
    begins: np.ndarray, stops: np.ndarray, starts: np.ndarray, ends: np.ndarray
) -> np.ndarray:
    """Bases of each row [starts, ends) that the union of intervals [begins, stops) covers.

    Returns
    -------
    ndarray of int64, (n,)
    """
    places, depth = _depths(begins, stops, np.ones(len(begins), np.int64))
    inside = (depth > 0).astype(np.int64)
    return _integral(places, inside, ends) - _integral(places, inside, starts)


def weighted_mean(
    begins: np.ndarray,
    stops: np.ndarray,
    values: np.ndarray,
    starts: np.ndarray,
    ends: np.ndarray,
) -> np.ndarray:
    """Mean over each row's bases of the numbers of the intervals that are over them.

    Where several intervals lie over a base, each counts.

    Returns
    -------
    ndarray of float64, (n,)
        NaN where no interval is.
    """
    places, depth = _depths(begins, stops, np.ones(len(begins), np.int64))
    _, total = _depths(begins, stops, values.astype(np.float64))
    total[depth == 0] = 0  # without what rounding has left
    bases = _integral(places, depth, ends) - _integral(places, depth, starts)
    sums = _integral(places, total, ends) - _integral(places, total, starts)
    return np.divide(sums, bases, out=np.full(len(starts), np.nan), where=bases > 0)


def _depths(
    begins: np.ndarray, stops: np.ndarray, values: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Where intervals begin or end, ascending, and the sum of the values from there on."""
    places = np.concatenate([begins, stops])
    order = np.argsort(places, kind="stable")
    return places[order], np.cumsum(np.concatenate([values, -values])[order])


def _integral(places: np.ndarray, depth: np.ndarray, until: np.ndarray) -> np.ndarray:
    """Sum of a step function over all bases before each of some places."""
    if not len(places):
        return np.zeros(len(until), depth.dtype)
    areas = np.concatenate([[0], np.cumsum(depth[:-1] * np.diff(places))])
    last = np.searchsorted(places, until, side="right") - 1
    sums = areas[last] + depth[last] * (until - places[last])
    return np.where(last >= 0, sums, 0)
