"""Contigs end to end on one axis, and how many bases of a row intervals cover.

On one axis, all rows and intervals of all contigs are sorted integers, so that a few sums over
numpy arrays answer for millions of rows.
"""

import numpy as np
import polars as pl


class Axis:
    """One axis of integers on which the contigs of rows lie end to end.

    Parameters
    ----------
    keys : DataFrame
        Rows: genome, contig (strings), start, end, strand.
    stranded : bool
        Whether each strand has its own part of the axis: the - strands follow the + strands.
    margin : int
        Free bases before and after each contig.
    """

    def __init__(self, keys: pl.DataFrame, stranded: bool = False, margin: int = 0):
        self.stranded = stranded
        lengths = keys.group_by("genome", "contig", maintain_order=True).agg(
            length=pl.col("end").max()
        )
        room = pl.col("length") + 2 * margin
        self.contigs = lengths.with_columns(offset=room.cum_sum() - room + margin)
        self.length = int(lengths["length"].sum()) + 2 * margin * len(lengths)

    def locate_rows(self, keys: pl.DataFrame) -> tuple[np.ndarray, np.ndarray]:
        """Starts and ends of rows on the axis: two ndarrays of int64, (n,)."""
        on_axis = keys.join(
            self.contigs, on=["genome", "contig"], how="left", maintain_order="left"
        )
        offset = on_axis["offset"].to_numpy()
        if self.stranded:
            offset = offset + np.where(keys["strand"].to_numpy() == "-", self.length, 0)
        return keys["start"].to_numpy() + offset, keys["end"].to_numpy() + offset

    def locate_intervals(self, table: pl.DataFrame) -> pl.DataFrame:
        """Intervals with the columns `begin` and `stop`, their ends on the axis.

        Parameters
        ----------
        table : DataFrame
            genome, contig, start, end, strand, and other columns, which stay. An interval without
            a strand is on both. What lies beyond the last row of its contig is left out.
        """
        on_axis = table.join(self.contigs, on=["genome", "contig"], how="inner")
        on_axis = on_axis.filter(pl.col("start") < pl.col("length")).with_columns(
            begin=pl.col("start") + pl.col("offset"),
            stop=pl.min_horizontal("end", "length") + pl.col("offset"),
        )
        if not self.stranded:
            return on_axis
        forward = on_axis.filter(pl.col("strand") != "-")
        reverse = on_axis.filter(pl.col("strand") != "+").with_columns(
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
    positions, depth = _depths(begins, stops, np.ones(len(begins), np.int64))
    inside = (depth > 0).astype(np.int64)
    return _integral(positions, inside, ends) - _integral(positions, inside, starts)


def weighted_mean(
    begins: np.ndarray,
    stops: np.ndarray,
    values: np.ndarray,
    starts: np.ndarray,
    ends: np.ndarray,
) -> np.ndarray:
    """Mean, over each row's bases, of the numbers of the intervals that cover them.

    Where several intervals cover a base, each counts.

    Returns
    -------
    ndarray of float64, (n,)
        NaN for a row that no interval covers.
    """
    positions, depth = _depths(begins, stops, np.ones(len(begins), np.int64))
    _, total = _depths(begins, stops, values.astype(np.float64))
    total[depth == 0] = 0  # not the rounding error of the sum
    bases = _integral(positions, depth, ends) - _integral(positions, depth, starts)
    sums = _integral(positions, total, ends) - _integral(positions, total, starts)
    return np.divide(sums, bases, out=np.full(len(starts), np.nan), where=bases > 0)


def _depths(
    begins: np.ndarray, stops: np.ndarray, values: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Where intervals begin or end, ascending, and the sum of the values from there on."""
    positions = np.concatenate([begins, stops])
    order = np.argsort(positions, kind="stable")
    return positions[order], np.cumsum(np.concatenate([values, -values])[order])


def _integral(positions: np.ndarray, depth: np.ndarray, until: np.ndarray) -> np.ndarray:
    """Sum of a step function over all bases before each position of `until`."""
    if not len(positions):
        return np.zeros(len(until), depth.dtype)
    areas = np.concatenate([[0], np.cumsum(depth[:-1] * np.diff(positions))])
    last = np.searchsorted(positions, until, side="right") - 1
    sums = areas[last] + depth[last] * (until - positions[last])
    return np.where(last >= 0, sums, 0)
