"""Fused layers as a probe sees them: what a fusion fits, it fits on a fold's training rows."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl

from evo2_embed.analysis.fusion.strands import find_partners


@dataclass(frozen=True)
class Strands:
    """Rows to read for a fusion, and where the probed rows and their two strands are among them.

    Attributes
    ----------
    wanted : ndarray of int64
        Numbers of rows in the dataset, ascending.
    own, forward, reverse : ndarray of int64, (n,)
        Places in `wanted` of each probed row, and of the + and the - row of its bases.
    """

    wanted: np.ndarray
    own: np.ndarray
    forward: np.ndarray
    reverse: np.ndarray


def find_strands(keys: pl.DataFrame, rows: np.ndarray) -> Strands | None:
    """The rows of both strands of some rows' bases; None where one of them lacks the other.

    Parameters
    ----------
    keys : DataFrame
        Key columns of all rows of a dataset, `name` among them.
    rows : ndarray of int64, (n,)
        Numbers of the rows that are probed, ascending.
    """
    others = find_partners(keys)[rows]
    if (others < 0).any():
        return None
    plus = (keys["strand"] == "+").to_numpy()[rows]
    both = np.where(plus, rows, others), np.where(plus, others, rows)
    wanted = np.unique(np.concatenate([rows, *both]))
    return Strands(wanted, *(np.searchsorted(wanted, which) for which in (rows, *both)))


def fit_fusion(layers: dict[str, np.ndarray], fusion: dict, labels: np.ndarray):
    """Fit a fusion to rows, or take the parameters that its section names.

    Parameters
    ----------
    layers : dict of str to ndarray, (n, width)
    fusion : dict
        Its section of the settings.
    labels : ndarray of object or of float64, (n,)

    Returns
    -------
    An object with `apply(layers)`: from layers to fused vectors, (n, width).
    """
    from evo2_embed.analysis.fusion.parameters import fit_fusion
    from evo2_embed.analysis.fusion.stored import load_fusion

    if fusion["parameters"] is not None:
        return load_fusion(fusion["parameters"])
    return fit_fusion(layers, fusion, labels)


def fused_vectors(
    layers: dict[str, np.ndarray],
    fusion: dict,
    labels: np.ndarray,
    strands: Strands,
    fit: Callable,
) -> Callable[[np.ndarray], np.ndarray]:
    """Vectors of a fusion, for `probe.cross_validate`.

    Where the fusion joins strands, a row gets the joined vector of its window, which is the one of
    the other strand's row as well: the rows, and so the folds, are those of the layers.

    Parameters
    ----------
    layers : dict of str to ndarray, (wanted, width)
        The layers that are joined, at the rows that `strands` wants.
    fusion : dict
        Its section of the settings.
    labels : ndarray of object or of float64, (n,)
        Of the probed rows.
    strands : Strands
    fit : function
        `fit_fusion`, or another one like it.
    """

    def vectors(train: np.ndarray) -> np.ndarray:
        seen = {name: values[strands.own[train]] for name, values in layers.items()}
        fused = fit(seen, {**fusion, "strands": "keep"}, labels[train]).apply(layers)
        if fusion["strands"] == "keep":
            return fused[strands.own]
        forward, reverse = fused[strands.forward], fused[strands.reverse]
        if fusion["strands"] == "mean":
            return (forward + reverse) / 2
        return np.concatenate([forward, reverse], axis=1)

    return vectors
