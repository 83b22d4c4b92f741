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


@dataclass(frozen=True)
class _Nearest:
    """The rows nearest to each query so far, by float32.

    Attributes
    ----------
    query, row : ndarray of int64, (m,)
    cosine : ndarray of float32, (m,)
    vectors : dict of int to ndarray of float32, (width,)
        By row; a row may be near to several queries.
    """

    query: np.ndarray
    row: np.ndarray
    cosine: np.ndarray
    vectors: dict[int, np.ndarray]

    @staticmethod
    def none() -> "_Nearest":
        return _Nearest(*np.empty((2, 0), np.int64), np.empty(0, np.float32), {})

    def with_others(self, other: "_Nearest", keep: int) -> "_Nearest":
        """The nearest of both, `keep` of each query at most."""
        query, row, cosine = (
            np.concatenate([getattr(each, name) for each in (self, other)])
            for name in ("query", "row", "cosine")
        )
        order = np.lexsort((row, -cosine, query))
        place = np.arange(len(order)) - np.searchsorted(query[order], query[order])
        order = order[place < keep]
        both = {**self.vectors, **other.vectors}
        vectors = {number: both[number] for number in np.unique(row[order]).tolist()}
        return _Nearest(query[order], row[order], cosine[order], vectors)

    def exact(self, queries: np.ndarray, centre: np.ndarray) -> np.ndarray:
        """The cosines in float64, (m,).

        Parameters
        ----------
        queries : ndarray of float64, (q, width)
            Of length 1.
        centre : ndarray of float64, (width,)
        """
        cosine = np.empty(len(self.row))
        for i, (query, row) in enumerate(zip(self.query, self.row.tolist(), strict=True)):
            vector = self.vectors[row] - centre
            cosine[i] = vector @ queries[query] / np.linalg.norm(vector)
        return cosine


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
    found = _Nearest.none()
    for part in each_part(vectors.dataset, search.part):
        found = found.with_others(part, search.keep)
    cosine = found.exact(queries, centre)
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
        found = _Nearest.none()
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
        # Copies: a view would keep the whole block in memory.
        kept = {int(rows[i]): values[i].astype(np.float32) for i in np.unique(row)}
        return _Nearest(query, rows[row], cosine[row, query], kept)

    def _least(self, found: _Nearest) -> np.ndarray:
        """The lowest cosine of each query that can still be among its nearest."""
        counts = np.bincount(found.query, minlength=self.queries.shape[1])
        lowest = np.full(len(counts), np.inf, np.float32)
        np.minimum.at(lowest, found.query, found.cosine)
        return np.where(counts < self.keep, -np.inf, lowest).astype(np.float32)
