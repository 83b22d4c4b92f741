"""How similar the embeddings of the same bases are with little and with long upstream context:
functions of arrays."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from evo2_embed.analysis.burn_in.limits import ROW
from evo2_embed.analysis.compare.measures import pair_cosines, rounded
from evo2_embed.dataset.sampling import evenly

QUANTILES = (0.05, 0.5, 0.95)
# Rows count as settled if the 5th percentile and the median of their cosines are at least these.
# The median alone is not enough: if one direction dominates a layer, most rows agree at once, and
# the others not at all.
SETTLED = (0.95, 0.99)

_BLOCK = 1024  # pairs per step
_APART = 512  # rows of which all pairs are compared


@dataclass(frozen=True)
class Pairs:
    """Rows of the same bases, as row indices.

    Attributes
    ----------
    short, longest : ndarray of int64, (n,)
        A row of a short stretch, and the row of the same bases in the longest stretch.
    before : ndarray of int64, (n,)
        Upstream context of the row of the short stretch, in bases.
    reference : ndarray of int64, (m,)
        All rows of the longest stretch.
    """

    short: np.ndarray
    longest: np.ndarray
    before: np.ndarray
    reference: np.ndarray


def pair_rows(keys: pl.DataFrame) -> Pairs:
    """Pair rows of the same bases.

    Parameters
    ----------
    keys : DataFrame
        Columns start, end, n_tokens and context, of one strand of one contig.
    """
    found = keys.with_row_index("row").with_columns(
        longest=pl.col("row").sort_by("context").last().over("start", "end"),
        before=pl.col("context") - pl.col("n_tokens"),
    )
    short = found.filter(pl.col("row") != pl.col("longest"))
    return Pairs(
        *(short[name].to_numpy().astype(np.int64) for name in ("row", "longest", "before")),
        found.filter(pl.col("row") == pl.col("longest"))["row"].to_numpy().astype(np.int64),
    )


def group_edges(length: int) -> np.ndarray:
    """Bounds of groups of rows by upstream context (bases): from 0, about two groups per doubling.

    Parameters
    ----------
    length : int
        Bases of a short stretch.

    Examples
    --------
    >>> group_edges(256).tolist()
    [0, 32, 64, 96, 128, 192, 256]
    """
    powers = ROW * 2 ** np.arange(max(length // ROW, 1).bit_length(), dtype=np.int64)
    edges = np.unique(np.concatenate([[0], powers, powers[1:] * 3 // 2]))
    return np.append(edges[edges < length], length)


def describe(values: np.ndarray, pairs: Pairs, edges: np.ndarray) -> dict:
    """How the embeddings of a layer change with upstream context.

    Parameters
    ----------
    values : ndarray, (rows, width)
    pairs : Pairs
    edges : ndarray of int64, (groups + 1,)
        Groups by upstream context, see `group_edges`; none is empty.

    Returns
    -------
    dict
        `raw` and `centred` (minus the mean row of the longest stretch): `cosine`, for each group
        three quantiles of the cosines to the longest stretch, and `apart`, the same quantiles of
        the cosines between different positions of the longest stretch. `settled`: upstream context
        (bases) from which on all groups, centred, are settled, or None.
    """
    reference = values[pairs.reference]
    mean = reference.mean(axis=0, dtype=np.float64)
    some = reference[evenly(len(reference), _APART)].astype(np.float64)
    group = np.searchsorted(edges, pairs.before, side="right") - 1
    result = {}
    for name, origin in (("raw", np.zeros_like(mean)), ("centred", mean)):
        cosines = _cosines(values, pairs, origin)
        result[name] = {
            "cosine": [
                list(map(rounded, np.quantile(cosines[group == number], QUANTILES)))
                for number in range(len(edges) - 1)
            ],
            "apart": list(map(rounded, np.quantile(pair_cosines(some - origin), QUANTILES))),
        }
    return {**result, "settled": settled_from(result["centred"]["cosine"], edges)}


def settled_from(quantiles: list[list[float]], edges: np.ndarray) -> int | None:
    """Upstream context (bases) from which on no group is below `SETTLED`; None if the last is."""
    below = np.flatnonzero((np.array(quantiles)[:, :2] < SETTLED).any(axis=1))
    first = below[-1] + 1 if len(below) else 0
    return int(edges[first]) if first < len(quantiles) else None


def _cosines(values: np.ndarray, pairs: Pairs, origin: np.ndarray) -> np.ndarray:
    """Cosine of each pair after subtracting `origin`, (width,): (n,)."""
    cosines = []
    for first in range(0, len(pairs.short), _BLOCK):
        one = values[pairs.short[first : first + _BLOCK]] - origin
        two = values[pairs.longest[first : first + _BLOCK]] - origin
        lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(two, axis=1)
        cosines.append((one * two).sum(axis=1) / np.maximum(lengths, 1e-300))
    return np.concatenate(cosines)
