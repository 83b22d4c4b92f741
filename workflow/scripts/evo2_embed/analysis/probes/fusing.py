"""Fused layers for a probe: a fusion is fitted to the training rows of each fold only."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from evo2_embed.analysis.fusion.parameters import fit_fusion
from evo2_embed.analysis.fusion.stored import load_fusion
from evo2_embed.analysis.fusion.vectors import FittedFusion
from evo2_embed.dataset.strands import find_partners, join_vectors
from evo2_embed.settings.extraction import Fusion


@dataclass(frozen=True)
class Strands:
    """Rows to read for a fusion: the probed rows, and the rows of their bases on both strands.

    Attributes
    ----------
    rows : ndarray of int64
        Row indices in the dataset, ascending.
    own, forward, reverse : ndarray of int64, (n,)
        For each probed row, the index in `rows` of itself, and of the + and the - row of its
        bases.
    """

    rows: np.ndarray
    own: np.ndarray
    forward: np.ndarray
    reverse: np.ndarray


def find_strands(keys: pl.DataFrame, probed: np.ndarray) -> Strands | None:
    """The rows of both strands of some rows' bases; None if one of them has no partner.

    Parameters
    ----------
    keys : DataFrame
        Key columns of all rows of a dataset, `name` among them.
    probed : ndarray of int64, (n,)
        Row indices, ascending.
    """
    others = find_partners(keys)[probed]
    if (others < 0).any():
        return None
    plus = (keys["strand"] == "+").to_numpy()[probed]
    both = np.where(plus, probed, others), np.where(plus, others, probed)
    rows = np.unique(np.concatenate([probed, *both]))
    return Strands(rows, *(np.searchsorted(rows, which) for which in (probed, *both)))


def fit_or_load(layers: dict[str, np.ndarray], fusion: Fusion, labels: np.ndarray) -> FittedFusion:
    """Fit a fusion to rows, or load the parameters that its settings name.

    Parameters
    ----------
    layers : dict of str to ndarray, (n, width of the layer)
    fusion : Fusion
    labels : ndarray of object or of float64, (n,)
    """
    if fusion.parameters is not None:
        return load_fusion(fusion.parameters)
    return fit_fusion(layers, fusion, labels)


def fused_vectors(
    layers: dict[str, np.ndarray],
    fusion: Fusion,
    labels: np.ndarray,
    strands: Strands,
    fit: Callable = fit_or_load,
) -> Callable[[np.ndarray], np.ndarray]:
    """Vectors of a fusion, for `probe.cross_validate`.

    If the fusion joins strands, both rows of a window get the joined vector of the window. So the
    rows and folds are the same as for the layers.

    Parameters
    ----------
    layers : dict of str to ndarray, (rows, width of the layer)
        The joined layers, at the rows `strands.rows`.
    fusion : Fusion
    labels : ndarray of object or of float64, (n,)
        Of the probed rows.
    strands : Strands
    fit : function, optional
        Replaces `fit_or_load`.
    """

    def vectors(train: np.ndarray) -> np.ndarray:
        seen = {name: values[strands.own[train]] for name, values in layers.items()}
        fused = fit(seen, replace(fusion, strands="keep"), labels[train]).apply(layers)
        if fusion.strands == "keep":
            return fused[strands.own]
        return join_vectors(fused[strands.forward], fused[strands.reverse], fusion.strands)

    return vectors
