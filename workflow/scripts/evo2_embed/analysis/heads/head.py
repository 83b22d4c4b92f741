"""A head with its numbers: vectors in, probabilities, numbers or the largest features out."""

from dataclasses import dataclass, replace

import numpy as np

from evo2_embed.analysis.heads.files import BIAS, CLASS, MEAN, THRESHOLD, WEIGHT, HeadFile
from evo2_embed.io.errors import InputError

_BLOCK_NUMBERS = 4_000_000  # outputs in memory at a time


@dataclass(frozen=True)
class Head:
    """A linear map, and what is made of its outputs.

    Attributes
    ----------
    weight : ndarray of float32 or float64, (outputs, width)
        Its type is that of the arithmetic.
    bias : ndarray, (outputs,)
    mean : ndarray, (width,), or None
        Subtracted from a vector first.
    threshold : ndarray, (outputs,) or (1,), or None
        Features at or below it are 0.
    classes : tuple of str
    """

    weight: np.ndarray
    bias: np.ndarray
    mean: np.ndarray | None = None
    threshold: np.ndarray | None = None
    classes: tuple[str, ...] = ()

    @staticmethod
    def load(file: HeadFile) -> "Head":
        """Read the numbers of a head.

        Raises
        ------
        InputError
            If a number is NaN or infinite.
        """
        arrays = {}
        for name in (WEIGHT, BIAS, MEAN, THRESHOLD):
            if name in file.arrays.shapes:
                arrays[name] = file.arrays.read(name)
                _check_finite(file, name, arrays[name])
        number = arrays[WEIGHT].dtype
        others = {name: arrays[name].astype(number) for name in (BIAS, MEAN) if name in arrays}
        threshold = arrays.get(THRESHOLD)
        return Head(
            arrays[WEIGHT],
            others[BIAS],
            others.get(MEAN),
            None if threshold is None else threshold.reshape(-1).astype(number),
            file.classes if file.kind == CLASS else (),
        )

    def with_threshold(self, threshold: float) -> "Head":
        """The same head with one threshold for all features."""
        return replace(self, threshold=np.array([threshold], self.weight.dtype))

    @property
    def outputs(self) -> int:
        """Number of outputs."""
        return self.weight.shape[0]

    @property
    def rows_at_once(self) -> int:
        """Rows whose outputs fit into memory."""
        return max(1, _BLOCK_NUMBERS // self.outputs)

    def linear(self, vectors: np.ndarray) -> np.ndarray:
        """The linear map of vectors (n, width): (n, outputs), in the type of the weight."""
        values = vectors.astype(self.weight.dtype)
        if self.mean is not None:
            values -= self.mean
        return values @ self.weight.T + self.bias  # (n, width) -> (n, outputs)

    def probabilities(self, vectors: np.ndarray) -> np.ndarray:
        """Probability of each class: float64, (n, classes)."""
        logits = self.linear(vectors).astype(np.float64)
        powers = np.exp(logits - logits.max(axis=1, keepdims=True))
        return powers / powers.sum(axis=1, keepdims=True)

    def features(self, vectors: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The k largest features of each row after ReLU, largest first; of equal ones the first by
        number. Only features above 0, and above their thresholds.

        Returns
        -------
        counts : ndarray of int64, (n,)
            Features of each row, at most k.
        features : ndarray of int32, (sum of counts,)
        values : ndarray of the type of the weight, (sum of counts,)
        """
        values = self.linear(vectors)
        least = np.zeros(1, values.dtype) if self.threshold is None else self.threshold
        values[values <= np.maximum(least, 0)] = 0
        largest = np.partition(values, -k, axis=1)[:, -k]  # the k-th of each row
        rows, columns = np.nonzero((values >= largest[:, None]) & (values > 0))
        kept = values[rows, columns]
        order = np.lexsort((columns, -kept, rows))
        rows, columns, kept = rows[order], columns[order], kept[order]
        rank = np.arange(len(rows)) - np.searchsorted(rows, rows)
        few = rank < k
        counts = np.bincount(rows[few], minlength=len(values))
        return counts, columns[few].astype(np.int32), kept[few]


def _check_finite(file: HeadFile, name: str, values: np.ndarray) -> None:
    finite = np.isfinite(values)
    if not finite.all():
        bad = np.argwhere(~finite)
        raise InputError(
            f"{file.path}: array '{name}': {len(bad)} of {values.size} numbers are NaN or "
            f"infinite; the first is at {bad[0].tolist()}"
        )
