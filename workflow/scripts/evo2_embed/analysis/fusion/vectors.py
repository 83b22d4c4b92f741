"""Vectors of several layers to one: how the parameters of a fusion are applied."""

from dataclasses import dataclass

import numpy as np

from evo2_embed.analysis.fusion.shape import fused_width


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
