"""Evenly spaced rows of a large dataset, the same ones every time."""

import numpy as np


def evenly(rows: int, most: int) -> np.ndarray:
    """Indices of at most `most` of `rows` rows, evenly spaced, with the first and the last row.

    Returns
    -------
    ndarray of int64, ascending
    """
    return np.unique(np.linspace(0, rows - 1, min(most, rows)).astype(np.int64))
