"""Nearest neighbours: exact cosines with all rows, a block at a time."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from evo2_embed.io.errors import InputError
from evo2_embed.reader.parts import Vectors, each_part

# Float32 finds the nearest rows, float64 sorts them. So some more are kept, for ties.
_MORE = 16


def mean_vector(vectors: Vectors) -> np.ndarray:
    """The mean of all vectors: float64, (width,)."""
    dataset = vectors.dataset

    def add(part: int) -> np.ndarray:
        total = np.zeros(dataset.width)
        for _, values in vectors.of_part(part):
            total += values.sum(axis=0, dtype=np.float64)
        return total

    return sum(each_part(dataset, add), np.zeros(dataset.width)) / max(dataset.rows, 1)


@dataclass
class _Nearest:
    """The rows nearest to each query so far: with float32, `keep` of each query at most.

    Attributes
    ----------
    query, row : ndarray of int64, (m,)
    cosine : ndarray of float32, (m,)
    vector : ndarray of float32, (m, width)
    """

    query: np.ndarray
    row: np.ndarray
    cosine: np.ndarray
    vector: np.ndarray

    @staticmethod
    def none(width: int) -> "_Nearest":
        whole, numbers = np.empty((2, 0), np.int64), np.empty(0, np.float32)
        return _Nearest(*whole, numbers, np.empty((0, width), np.float32))

    def with_others(self, other: "_Nearest", keep: int) -> "_Nearest":
        """The nearest of both."""
        values = [np.concatenate(pair) for pair in zip(*map(_fields, (self, other)), strict=True)]
        query, row, cosine, _ = values
        order = np.lexsort((row, -cosine, query))
        place = np.arange(len(order)) - np.searchsorted(query[order], query[order])
        return _Nearest(*(each[order[place < keep]] for each in values))


def _fields(nearest: _Nearest) -> list[np.ndarray]:
    return list(vars(nearest).values())


def nearest(
    vectors: Vectors, queries: np.ndarray, k: int, centre: np.ndarray, without: np.ndarray
) -> pl.DataFrame:
    """The k rows with the highest cosine to each query.

    Parameters
    ----------
    vectors : Vectors
        Of the rows that may be found.
    queries : ndarray of float64, (q, width)
    k : int
    centre : ndarray of float64, (width,)
        Is subtracted from queries and rows.
    without : ndarray of int64
        Rows that may not be found.

    Returns
    -------
    DataFrame
        `query`, `row` and `cosine`; sorted by query, the highest cosine first, equal ones by row.
    """
    queries = queries - centre
    lengths = np.linalg.norm(queries, axis=1)
    if not lengths.all():
        raise InputError(
            "query: a vector without direction: it is 0, or the centre that is subtracted"
        )
    queries = queries / lengths[:, None]
    search = _Search(vectors, queries, k + _MORE, centre, without)
    found = _Nearest.none(queries.shape[1])
    for part in each_part(vectors.dataset, search.part):
        found = found.with_others(part, search.keep)
    # Again in float64, for their order.
    rows = found.vector - centre
    cosine = np.einsum("ij,ij->i", rows, queries[found.query]) / np.linalg.norm(rows, axis=1)
    frame = pl.DataFrame({"query": found.query, "row": found.row, "cosine": cosine})
    frame = frame.sort("query", "cosine", "row", descending=[False, True, False])
    return frame.group_by("query", maintain_order=True).head(k)


class _Search:
    """The nearest rows of part files, see `nearest`; `keep` of each query."""

    def __init__(
        self,
        vectors: Vectors,
        queries: np.ndarray,
        keep: int,
        centre: np.ndarray,
        without: np.ndarray,
    ):
        self.vectors, self.keep, self.without = vectors, keep, without
        self.queries = queries.T.astype(np.float32)
        self.centre = centre.astype(np.float32)

    def part(self, part: int) -> _Nearest:
        """The nearest rows of a part file."""
        found = _Nearest.none(len(self.centre))
        least = np.full(self.queries.shape[1], -np.inf, np.float32)
        for rows, values in self.vectors.of_part(part):
            near = self._block(rows, values, least)
            if len(near.row):
                found = found.with_others(near, self.keep)
                least = self._least(found)
        return found

    def _block(self, rows: np.ndarray, values: np.ndarray, least: np.ndarray) -> _Nearest:
        """Rows of a block that are nearer to a query than `least`."""
        centred = np.subtract(values, self.centre, dtype=np.float32)
        with np.errstate(divide="ignore", invalid="ignore"):
            lengths = np.sqrt(np.einsum("ij,ij->i", centred, centred))
            cosine = (centred @ self.queries) / lengths[:, None]
        # NaN is not greater: a row without direction is near to nothing.
        near = cosine > least
        if len(self.without):
            near &= ~np.isin(rows, self.without)[:, None]
        row, query = np.nonzero(near)
        return _Nearest(query, rows[row], cosine[row, query], values[row].astype(np.float32))

    def _least(self, found: _Nearest) -> np.ndarray:
        """The lowest cosine of each query that can still be among its nearest."""
        counts = np.bincount(found.query, minlength=self.queries.shape[1])
        lowest = np.full(len(counts), np.inf, np.float32)
        np.minimum.at(lowest, found.query, found.cosine)
        return np.where(counts < self.keep, -np.inf, lowest).astype(np.float32)
