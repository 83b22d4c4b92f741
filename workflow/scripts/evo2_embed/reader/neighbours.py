"""Nearest neighbours: exact cosines with all rows, a row group at a time."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from evo2_embed.dataset.dataset import Dataset, to_polars
from evo2_embed.io.errors import InputError
from evo2_embed.io.tables import vectors_to_numpy
from evo2_embed.reader.groups import with_rows
from evo2_embed.reader.parts import each_part, first_rows

# Float32 finds the nearest rows, float64 sorts them. So some more are kept, for ties.
_MORE = 16


def mean_vector(dataset: Dataset) -> np.ndarray:
    """The mean of all vectors: float64, (width,)."""
    column = dataset.vector_column

    def add(part: int) -> np.ndarray:
        file, total = dataset.open_part(part), np.zeros(dataset.width)
        for number in range(file.num_row_groups):
            table = file.read_row_group(number, columns=[column])
            total += vectors_to_numpy(table[column], dataset.width).sum(axis=0, dtype=np.float64)
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
    dataset: Dataset,
    queries: np.ndarray,
    k: int,
    centre: np.ndarray,
    where: pl.Expr | None,
    without: np.ndarray,
) -> pl.DataFrame:
    """The k rows with the highest cosine to each query.

    Parameters
    ----------
    dataset : Dataset
    queries : ndarray of float64, (q, width)
    k : int
    centre : ndarray of float64, (width,)
        Is subtracted from queries and rows.
    where : Expr, optional
        Of key columns and `row`: which rows may be found.
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
    search = _Search(dataset, queries, k + _MORE, centre, where, without)
    found = _Nearest.none(dataset.width)
    for part in each_part(dataset, search.part):
        found = found.with_others(part, search.keep)
    # Again in float64, for their order.
    rows = found.vector - centre
    cosine = np.einsum("ij,ij->i", rows, queries[found.query]) / np.linalg.norm(rows, axis=1)
    frame = pl.DataFrame({"query": found.query, "row": found.row, "cosine": cosine})
    frame = frame.sort("query", "cosine", "row", descending=[False, True, False])
    return frame.group_by("query", maintain_order=True).head(k)


class _Search:
    """The nearest rows of part files."""

    def __init__(
        self,
        dataset: Dataset,
        queries: np.ndarray,
        keep: int,
        centre: np.ndarray,
        where: pl.Expr | None,
        without: np.ndarray,
    ):
        self.dataset, self.keep, self.where, self.without = dataset, keep, where, without
        self.queries = queries.T.astype(np.float32)
        self.centre = centre.astype(np.float32)
        self.firsts = first_rows(dataset)

    def part(self, part: int) -> _Nearest:
        """The nearest rows of a part file."""
        file, first = self.dataset.open_part(part), self.firsts[part]
        found = _Nearest.none(self.dataset.width)
        least = np.full(self.queries.shape[1], -np.inf, np.float32)
        for number in range(file.num_row_groups):
            stop = first + file.metadata.row_group(number).num_rows
            rows = self._allowed(file, number, first, stop)
            if len(rows):
                near = self._group(file, number, rows, first, least)
                if len(near.row):
                    found = found.with_others(near, self.keep)
                    least = self._least(found)
            first = stop
        return found

    def _allowed(self, file, number: int, first: int, stop: int) -> np.ndarray:
        """Rows of a row group that may be found."""
        if self.where is None:
            rows = np.arange(first, stop)
        else:
            keys = file.read_row_group(number, columns=self.dataset.key_columns)
            rows = to_polars(with_rows(keys, first)).filter(self.where)["row"].to_numpy()
        return rows[~np.isin(rows, self.without)] if len(self.without) else rows

    def _group(
        self, file, number: int, rows: np.ndarray, first: int, least: np.ndarray
    ) -> _Nearest:
        """Rows of a row group that are nearer to a query than `least`."""
        column = self.dataset.vector_column
        table = file.read_row_group(number, columns=[column])
        values = vectors_to_numpy(table[column], self.dataset.width)
        values = values if len(rows) == len(values) else values[rows - first]
        values = values.astype(np.float32, copy=False)
        centred = values - self.centre
        with np.errstate(divide="ignore", invalid="ignore"):
            lengths = np.sqrt(np.einsum("ij,ij->i", centred, centred))
            cosine = (centred @ self.queries) / lengths[:, None]
        # NaN is not greater: a row without direction is near to nothing.
        row, query = np.nonzero(cosine > least)
        return _Nearest(query, rows[row], cosine[row, query], values[row])

    def _least(self, found: _Nearest) -> np.ndarray:
        """The lowest cosine of each query that can still be among its nearest."""
        counts = np.bincount(found.query, minlength=self.queries.shape[1])
        lowest = np.full(len(counts), np.inf, np.float32)
        np.minimum.at(lowest, found.query, found.cosine)
        return np.where(counts < self.keep, -np.inf, lowest).astype(np.float32)
