"""How alike the embeddings of the same bases are with little before them and with much: functions
of arrays."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from evo2_embed.analysis.burn_in.limits import ROW
from evo2_embed.analysis.compare.measures import pair_cosines
from evo2_embed.dataset.sampling import evenly

QUANTILES = (0.05, 0.5, 0.95)
# Rows count as settled where the 5th percentile and the median of their cosines are at least these.
# The median alone would not do: where one direction dominates a layer, most rows agree at once, and
# the others not at all.
SETTLED = (0.95, 0.99)

_BLOCK = 1024  # pairs at once
_APART = 512  # rows of which all pairs are compared


@dataclass(frozen=True)
class Pairs:
    """Rows of the same bases, by their numbers.

    Attributes
    ----------
    short, longest : ndarray of int64, (n,)
        A row with little before it, and the row of the same bases with most before it.
    before : ndarray of int64, (n,)
        Bases that were run before the first base of the short one.
    reference : ndarray of int64, (m,)
        All rows of the longest context.
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
    """Where groups of distances begin, and the end of the last: 0, then about two each doubling.

    Parameters
    ----------
    length : int
        Bases of a stretch that begins with nothing before it.
    """
    powers = ROW * 2 ** np.arange(max(length // ROW, 1).bit_length(), dtype=np.int64)
    edges = np.unique(np.concatenate([[0], powers, powers[1:] * 3 // 2]))
    return np.append(edges[edges < length], length)


def describe(values: np.ndarray, pairs: Pairs, edges: np.ndarray) -> dict:
    """What context does to a layer's embeddings.

    Parameters
    ----------
    values : ndarray, (rows, width)
    pairs : Pairs
    edges : ndarray of int64, (groups + 1,)
        Groups of distances, see `group_edges`; none is empty.

    Returns
    -------
    dict
        `raw` and `centred` (with the mean of the longest context's rows taken away): `cosine`,
        for each group three quantiles of the cosines to the longest context, and `apart`, those of
        the cosines between rows at different places of the longest context; `settled`, bases from
        which on the centred ones stay settled, or None.
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
                _numbers(np.quantile(cosines[group == number], QUANTILES))
                for number in range(len(edges) - 1)
            ],
            "apart": _numbers(np.quantile(pair_cosines(some - origin), QUANTILES)),
        }
    return {**result, "settled": settled_from(result["centred"]["cosine"], edges)}


def settled_from(quantiles: list[list[float]], edges: np.ndarray) -> int | None:
    """Bases from which on no group's quantiles are below `SETTLED`; None if the last one's are."""
    below = np.flatnonzero((np.array(quantiles)[:, :2] < SETTLED).any(axis=1))
    first = below[-1] + 1 if len(below) else 0
    return int(edges[first]) if first < len(quantiles) else None


def _cosines(values: np.ndarray, pairs: Pairs, origin: np.ndarray) -> np.ndarray:
    """Cosine of each pair, seen from `origin` (width,): (n,)."""
    parts = []
    for first in range(0, len(pairs.short), _BLOCK):
        one = values[pairs.short[first : first + _BLOCK]] - origin
        two = values[pairs.longest[first : first + _BLOCK]] - origin
        lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(two, axis=1)
        parts.append((one * two).sum(axis=1) / np.maximum(lengths, 1e-300))
    return np.concatenate(parts)


def _numbers(values: np.ndarray) -> list[float]:
    """As JSON holds them, to six digits: what follows differs between machines."""
    return [float(f"{value:.6g}") for value in values]
