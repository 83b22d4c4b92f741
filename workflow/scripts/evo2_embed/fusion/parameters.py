"""The parameters of a fusion: fitted to rows of its layers, applied to any rows of them.

Arrays in, arrays out; no files. It is fast enough for every fold of a cross-validation.
"""

from dataclasses import dataclass

import numpy as np
from sklearn.decomposition import PCA
from sklearn.preprocessing import StandardScaler

from evo2_embed.errors import InputError
from evo2_embed.fusion.shape import fused_width, is_standardised, method_of
from evo2_embed.fusion.weights import learn_weights

SEED = 0


@dataclass(frozen=True)
class Fusion:
    """How vectors of several layers become one.

    Attributes
    ----------
    method : str or dict
        As the configuration has it: concat, mean, weighted, or {pca: k}.
    layers : tuple of str
    widths : tuple of int
        Of each layer.
    means, deviations : ndarray of float64, (sum of widths,), or None
        Of every number of the layers side by side; None where they are left as they are.
    weights : ndarray of float64, (layers,), or None
        Of the layers, their sum 1; for mean and weighted.
    components : ndarray of float32, (k, sum of widths), or None
        For pca: directions of length 1, the largest number of each above 0.
    explained : ndarray of float64, (k,), or None
        For pca: share of the variance along each.
    """

    method: str | dict
    layers: tuple[str, ...]
    widths: tuple[int, ...]
    means: np.ndarray | None = None
    deviations: np.ndarray | None = None
    weights: np.ndarray | None = None
    components: np.ndarray | None = None
    explained: np.ndarray | None = None

    @property
    def width(self) -> int:
        """Numbers in a fused vector."""
        return fused_width({"method": self.method}, list(self.widths))

    def apply(self, layers: dict[str, np.ndarray]) -> np.ndarray:
        """Fuse rows.

        Parameters
        ----------
        layers : dict of str to ndarray, (n, width of the layer)

        Returns
        -------
        ndarray of float32, (n, width)
        """
        rows = len(layers[self.layers[0]])
        fused = np.zeros((rows, self.width), np.float32)
        for number, layer in enumerate(self.layers):
            mine = self._span(number)
            values = self._standardised(layers[layer], mine)
            if self.components is not None:
                fused += values @ self.components[:, mine].T  # (n, width of the layer) -> (n, k)
            elif self.weights is not None:
                fused += np.float32(self.weights[number]) * values
            else:
                fused[:, mine] = values
        return fused

    def _span(self, number: int) -> slice:
        """Where a layer's numbers lie among those of all layers side by side."""
        first = sum(self.widths[:number])
        return slice(first, first + self.widths[number])

    def _standardised(self, values: np.ndarray, mine: slice) -> np.ndarray:
        if self.means is None:
            return values.astype(np.float32)
        # In float64: a number's mean may be thousands of times its deviation.
        return ((values - self.means[mine]) / self.deviations[mine]).astype(np.float32)


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
