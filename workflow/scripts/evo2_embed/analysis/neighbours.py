"""Exact nearest neighbours among the rows of a figure or of a map."""

import numpy as np

_BLOCK_BYTES = 64 << 20  # of the cosines that are in memory at once
_GROUP = 128  # rows of which only the largest cosine is looked at first


def nearest(vectors: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
    """The nearest of each vector among the others, by the cosine of centred vectors.

    All cosines are computed in float32, block by block. Beside the vectors, memory holds one copy
    of them and two blocks.

    Parameters
    ----------
    vectors : ndarray of float32, (n, width)
    number : int
        Of neighbours per vector; n - 1 if there are fewer.

    Returns
    -------
    ids : ndarray of int64, (n, number)
        Indices, the nearest first; equally near ones in their order.
    cosines : ndarray of float32, (n, number)
        0 for a vector that is the mean of all: it has no direction.
    """
    n = len(vectors)
    number = min(number, n - 1)
    ids, cosines = np.empty((n, number), np.int64), np.empty((n, number), np.float32)
    if not number:
        return ids, cosines
    centred = vectors - vectors.mean(axis=0, dtype=np.float64).astype(np.float32)
    lengths = np.linalg.norm(centred, axis=1, keepdims=True)
    centred /= np.where(lengths == 0, 1, lengths)
    rows = max(1, _BLOCK_BYTES // (4 * n))
    for first in range(0, n, rows):
        block = centred[first : first + rows] @ centred.T
        own = np.arange(len(block))
        block[own, first + own] = -np.inf  # not a neighbour of itself
        found = _largest(block, number)
        found.sort(axis=1)
        near = np.take_along_axis(block, found, 1)
        order = np.argsort(-near, axis=1, kind="stable")
        ids[first : first + rows] = np.take_along_axis(found, order, 1)
        cosines[first : first + rows] = np.take_along_axis(near, order, 1)
    return ids, cosines


def _largest(block: np.ndarray, number: int) -> np.ndarray:
    """Columns of the `number` largest values of each row, in any order.

    They are in the `number` groups of columns with the largest maxima, so only these are searched.
    """
    rows, n = block.shape
    groups = n // _GROUP
    if groups <= number:
        return np.argpartition(block, n - number, axis=1)[:, n - number :]
    whole = block[:, : groups * _GROUP].reshape(rows, groups, _GROUP)
    best = np.argpartition(whole.max(axis=2), groups - number, axis=1)[:, groups - number :]
    columns = (best[:, :, None] * _GROUP + np.arange(_GROUP)).reshape(rows, -1)
    rest = np.broadcast_to(np.arange(groups * _GROUP, n), (rows, n - groups * _GROUP))
    columns = np.concatenate([columns, rest], axis=1)
    values = np.take_along_axis(block, columns, 1)
    found = np.argpartition(values, values.shape[1] - number, axis=1)[:, -number:]
    return np.take_along_axis(columns, found, 1)
