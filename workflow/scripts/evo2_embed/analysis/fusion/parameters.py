"""The parameters of a fusion, fitted to rows of its layers.

Arrays in, a `FittedFusion` out; no files. Fast enough for each fold of a cross-validation.
"""

import numpy as np
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from evo2_embed.analysis.fusion.shape import is_standardised, method_of
from evo2_embed.analysis.fusion.vectors import FittedFusion
from evo2_embed.analysis.fusion.weights import learn_weights
from evo2_embed.io.errors import InputError
from evo2_embed.settings.extraction import Fusion

SEED = 0


def fit_fusion(
    layers: dict[str, np.ndarray], settings: Fusion, labels: np.ndarray | None = None
) -> FittedFusion:
    """Fit a fusion to rows.

    For several layers, and for pca, every dimension is standardised: mean 0 and standard deviation
    1 over these rows (a constant dimension becomes 0).

    Parameters
    ----------
    layers : dict of str to ndarray, (n, width of the layer)
        In the order of the fusion.
    settings : Fusion
        `method` and `weights` are used.
    labels : ndarray, (n,), optional
        For `weights: probe`: of float64 (NaN: no label), or of object (classes; None: no label).

    Raises
    ------
    InputError
        If there are too few rows for the components, or too few labels, or if all rows are equal.
    """
    widths = tuple(values.shape[1] for values in layers.values())
    known = {"method": settings.method, "layers": tuple(layers), "widths": widths}
    if is_standardised(settings.method, len(layers)):
        scalers = [StandardScaler().fit(values) for values in layers.values()]
        known["means"] = np.concatenate([scaler.mean_ for scaler in scalers])
        known["deviations"] = np.concatenate([scaler.scale_ for scaler in scalers])
    method = method_of(settings.method)
    if method == "mean":
        known["weights"] = np.full(len(layers), 1 / len(layers))
    elif method == "weighted":
        known["weights"] = _weights(FittedFusion(**known), layers, settings.weights, labels)
    elif method == "pca":
        values = _side_by_side(FittedFusion(**known), layers)
        known["components"], known["explained"] = _components(values, settings.method["pca"])
    return FittedFusion(**known)


def _weights(
    scales: FittedFusion, layers: dict, given: str | list[float], labels: np.ndarray | None
) -> np.ndarray:
    if given == "probe":
        if len(layers) == 1:
            return np.ones(1)
        return learn_weights(_side_by_side(scales, layers), list(scales.widths), labels)
    weights = np.array(given, np.float64)
    return weights / weights.sum()


def _side_by_side(scales: FittedFusion, layers: dict[str, np.ndarray]) -> np.ndarray:
    """Standardised layers side by side: float32, (n, sum of widths)."""
    shared = (scales.layers, scales.widths, scales.means, scales.deviations)
    return FittedFusion("concat", *shared).apply(layers)


def _components(values: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    rows, width = values.shape
    most = min(rows - 1, width)  # n centred rows span n - 1 dimensions
    if k > most:
        raise InputError(
            f"pca: {k} components cannot be fitted to {rows} rows of {width} dimensions "
            f"(allowed: 1 to {most})"
        )
    if not values.any():
        raise InputError(
            f"pca: all {rows} rows are the same, as for a genome of N; leave out these windows "
            "(windows.ambiguous) or the fusion"
        )
    pca = PCA(k, random_state=SEED, copy=False).fit(values)
    return pca.components_.astype(np.float32), pca.explained_variance_ratio_.astype(np.float64)
