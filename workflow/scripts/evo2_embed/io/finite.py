"""Vectors in the type of the files. Values that are not finite are never stored."""

import numpy as np

from evo2_embed.io.errors import InputError


class NotFiniteError(InputError):
    """Vectors that cannot be stored.

    Attributes
    ----------
    rows : ndarray of int64
        Indices of the vectors with a value that is not finite.
    too_large : bool
        Whether all values are finite, but some are too large for the type of the files.
    """

    def __init__(self, cause: str, rows: np.ndarray, too_large: bool):
        super().__init__(cause)
        self.rows, self.too_large = rows, too_large


def as_stored(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Vectors (n, width) in the type of the files, contiguous.

    Raises
    ------
    NotFiniteError
        If a value is NaN or infinite, or too large for `dtype`.
    """
    with np.errstate(over="ignore"):  # what is too large becomes inf
        stored = np.ascontiguousarray(values, dtype)
    if np.isfinite(stored).all():
        return stored
    rows = np.flatnonzero(~np.isfinite(stored).all(axis=1))
    if np.isnan(stored[rows]).any():
        raise NotFiniteError("NaN", rows, False)
    if np.isinf(values[rows]).any():
        raise NotFiniteError("infinite values (inf)", rows, False)
    most = float(np.finfo(dtype).max)
    cause = f"values above {most:,.0f}, the most that dtype: {stored.dtype} can store,"
    raise NotFiniteError(cause, rows, True)
