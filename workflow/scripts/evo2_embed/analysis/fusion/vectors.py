"""A fitted fusion: how vectors of several layers become one."""

from dataclasses import dataclass

import numpy as np

from evo2_embed.analysis.fusion.shape import fused_width


@dataclass(frozen=True)
class FittedFusion:
    """How vectors of several layers become one.

    Attributes
    ----------
    method : str or dict
        As in the configuration: concat, mean, weighted, or {pca: k}.
    layers : tuple of str
    widths : tuple of int
        Dimensions of each layer.
    means, deviations : ndarray of float64, (sum of widths,), or None
        Mean and standard deviation of every dimension of the layers side by side. None if layers
        are not standardised.
    weights : ndarray of float64, (layers,), or None
        For mean and weighted: the weights of the layers, which sum to 1.
    components : ndarray of float32, (k, sum of widths), or None
        For pca: directions of length 1. The largest value of each is positive.
    explained : ndarray of float64, (k,), or None
        For pca: share of the variance along each direction.
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
        """Dimensions of a fused vector."""
        return fused_width(self.method, list(self.widths))

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
            columns = self._columns(number)
            values = self._standardised(layers[layer], columns)
            if self.components is not None:
                fused += values @ self.components[:, columns].T  # (n, width of the layer) -> (n, k)
            elif self.weights is not None:
                fused += np.float32(self.weights[number]) * values
            else:
                fused[:, columns] = values
        return fused

    def _columns(self, number: int) -> slice:
        """The columns of a layer among those of all layers side by side."""
        first = sum(self.widths[:number])
        return slice(first, first + self.widths[number])

    def _standardised(self, values: np.ndarray, columns: slice) -> np.ndarray:
        if self.means is None:
            return values.astype(np.float32)
        # In float64, because a mean may be thousands of times its standard deviation.
        return ((values - self.means[columns]) / self.deviations[columns]).astype(np.float32)
