"""The vectors of queries: of rows, names, regions, or given as they are."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from evo2_embed.dataset.dataset import Dataset
from evo2_embed.io.errors import InputError
from evo2_embed.io.text import shown
from evo2_embed.reader.groups import ROW
from evo2_embed.reader.queries import Queries

Query = int | str | tuple | np.ndarray | pl.Series | Sequence


@dataclass(frozen=True)
class QueryVectors:
    """The vectors of queries.

    Attributes
    ----------
    vectors : ndarray of float64, (q, width)
    rows : ndarray of int64
        The rows that they were made from.
    single : bool
        Whether one query was given, not a list.
    """

    vectors: np.ndarray
    rows: np.ndarray
    single: bool


def query_vectors(
    dataset: Dataset, queries: Queries, rows: Callable[[object], pl.DataFrame], query: Query
) -> QueryVectors:
    """See `Embeddings.neighbours`.

    Parameters
    ----------
    dataset : Dataset
    queries : Queries
        Finds names and regions.
    rows : callable
        Gives the rows of row numbers.
    query : int, str, tuple, ndarray, Series or sequence
    """

    def found(one: int | str | tuple) -> pl.DataFrame:
        if isinstance(one, int | np.integer):
            return rows(int(one))
        if isinstance(one, tuple) or (not queries.has_name(one) and queries.has_contig(one)):
            return queries.region(one, None, None, None)
        return queries.by_name(one, None, None)

    def joined(one: int | str | tuple) -> tuple[np.ndarray, np.ndarray]:
        frame = found(one)
        if not len(frame):
            raise InputError(f"query {shown(one)}: no row has bases in this region")
        values = frame[dataset.vector_column].to_numpy().astype(np.float64)
        tokens = frame["n_tokens"].to_numpy() if "n_tokens" in frame.columns else None
        return np.average(values, axis=0, weights=tokens), frame[ROW].to_numpy()

    several, single = _several(query)
    if several is None:
        vectors = np.asarray(query, np.float64)
        check_width(vectors, dataset, "query")
        nothing = np.empty(0, np.int64)
        return QueryVectors(np.atleast_2d(vectors), nothing, vectors.ndim == 1)
    made = [joined(one) for one in several]
    vectors, mine = (list(each) for each in zip(*made, strict=True))
    return QueryVectors(np.stack(vectors), np.concatenate(mine), single)


def _several(query: Query) -> tuple[list | None, bool]:
    """The queries one by one, None if they are vectors; and whether it is a single one."""
    if isinstance(query, int | np.integer | str):
        return [query], True
    if isinstance(query, tuple) and len(query) == 3 and isinstance(query[0], str):
        return [query], True  # a region
    each = query.tolist() if isinstance(query, np.ndarray | pl.Series) else list(query)
    if each and all(isinstance(one, int | np.integer | str | tuple) for one in each):
        return each, False
    return None, False


def check_width(vectors: np.ndarray, dataset: Dataset, what: str) -> np.ndarray:
    """Check that vectors have the width of the dataset and are finite.

    Raises
    ------
    InputError
        If not.
    """
    if vectors.ndim not in (1, 2) or vectors.shape[-1] != dataset.width:
        shape = " x ".join(map(str, vectors.shape))
        raise InputError(
            f"{what}: an array of {shape} numbers; the vectors of {dataset.path} have "
            f"{dataset.width}"
        )
    if not np.isfinite(vectors).all():
        raise InputError(f"{what}: has numbers that are not finite")
    return vectors
