"""The parameters of a fusion, fitted to rows of its layers.

Arrays in, a `Fusion` out; no files. It is fast enough for every fold of a cross-validation.
"""

import numpy as np
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from evo2_embed.analysis.fusion.shape import is_standardised, method_of
from evo2_embed.analysis.fusion.vectors import Fusion
from evo2_embed.analysis.fusion.weights import learn_weights
from evo2_embed.io.errors import InputError

SEED = 0


def fit_fusion(
    layers: dict[str, np.ndarray], settings: dict, labels: np.ndarray | None = None
) -> Fusion:
    """Fit a fusion to rows.

    Where there are several layers, and for pca, every number is standardised: mean 0 and deviation
    1 over these rows (a number that is always the same becomes 0).

    Parameters
    ----------
    layers : dict of str to ndarray, (n, width of the layer)
        In their order.
    settings : dict
        The entry of the configuration: `method`, and for weighted `weights`.
    labels : ndarray, (n,), optional
        For `weights: probe`; floats (NaN: no label), or objects (classes; None: no label).

    Raises
    ------
    InputError
        When there are more components than these rows can give, or labels are too few.
    """
    widths = tuple(values.shape[1] for values in layers.values())
    known = {"method": settings["method"], "layers": tuple(layers), "widths": widths}
    if is_standardised(settings, len(layers)):
        scalers = [StandardScaler().fit(values) for values in layers.values()]
        known["means"] = np.concatenate([scaler.mean_ for scaler in scalers])
        known["deviations"] = np.concatenate([scaler.scale_ for scaler in scalers])
    method = method_of(settings)
    if method == "mean":
        known["weights"] = np.full(len(layers), 1 / len(layers))
    elif method == "weighted":
        known["weights"] = _weights(Fusion(**known), layers, settings["weights"], labels)
    elif method == "pca":
        values = _side_by_side(Fusion(**known), layers)
        known["components"], known["explained"] = _components(values, settings["method"]["pca"])
    return Fusion(**known)


def _weights(
    scales: Fusion, layers: dict, given: str | list[float], labels: np.ndarray | None
) -> np.ndarray:
    if given == "probe":
        if len(layers) == 1:
            return np.ones(1)
        return learn_weights(_side_by_side(scales, layers), list(scales.widths), labels)
    weights = np.array(given, np.float64)
    return weights / weights.sum()


def _side_by_side(scales: Fusion, layers: dict[str, np.ndarray]) -> np.ndarray:
    """Standardised layers side by side, (n, sum of widths)."""
    shared = (scales.layers, scales.widths, scales.means, scales.deviations)
    return Fusion("concat", *shared).apply(layers)


def _components(values: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    rows, numbers = values.shape
    # Centred rows have a direction less than there are rows.
    most = min(rows - 1, numbers)
    if k > most:
        raise InputError(
            f"pca: {k} components cannot be fitted to {rows} rows of {numbers} numbers "
            f"(allowed: 1 to {most})"
        )
    pca = PCA(k, random_state=SEED, copy=False).fit(values)
    return pca.components_.astype(np.float32), pca.explained_variance_ratio_.astype(np.float64)
