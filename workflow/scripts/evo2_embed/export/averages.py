"""Rows of one contig, which may overlap, to intervals that do not, with the means of the rows."""

import numpy as np

from evo2_embed.io.errors import InputError

MOST_ROWS = 2_000_000  # rows of a contig that are kept before their intervals are made

# Starts and ends (n,), 0-based and half-open, and values (n, tracks).
Spans = tuple[np.ndarray, np.ndarray, np.ndarray]


class Averager:
    """Averages the rows of one contig per base, with bounded memory.

    Rows come in the order of their starts. The rows of a region over the origin may be in another
    order, as long as a contig has at most `MOST_ROWS` of them.

    Parameters
    ----------
    length : int
        Bases of the contig. A row that ends past it is over the origin of a circular contig.
    """

    def __init__(self, length: int):
        self.length, self.done = length, 0
        self._held: list[Spans] = []
        self._rows = 0

    def add(self, starts: np.ndarray, ends: np.ndarray, values: np.ndarray) -> Spans | None:
        """Add rows; the intervals that no later row can change, if there are enough rows."""
        self._held.append((starts, ends, values))
        self._rows += len(starts)
        return self._finish(int(starts[-1])) if self._rows > MOST_ROWS else None

    def close(self) -> Spans | None:
        """The remaining intervals; None if there are none."""
        return self._finish(self.length) if self._rows else None

    def _finish(self, limit: int) -> Spans:
        """The intervals before a base. Rows that reach past it are kept for later."""
        starts, ends, values = _around(_joined(self._held), self.length)
        if len(starts) and starts.min() < self.done:
            raise InputError(
                f"a row begins at {starts.min():,}, before bases that are written already; rows of "
                f"circular contigs must be at most {MOST_ROWS:,}"
            )
        later = ends > limit
        rest = np.maximum(starts[later], limit), ends[later], values[later]
        self._held, self._rows, self.done = [rest], int(later.sum()), limit
        before = starts < limit
        return average(starts[before], np.minimum(ends[before], limit), values[before])


def average(starts: np.ndarray, ends: np.ndarray, values: np.ndarray) -> Spans:
    """Intervals between all starts and ends that some row covers, with the mean of these rows.

    >>> average(np.array([0, 2]), np.array([4, 6]), np.array([[1.0], [3.0]]))
    (array([0, 2, 4]), array([2, 4, 6]), array([[1.],
           [2.],
           [3.]]))
    """
    points = np.unique(np.concatenate([starts, ends]))
    first = np.searchsorted(points, starts)
    counts = np.searchsorted(points, ends) - first
    row = np.repeat(np.arange(len(starts)), counts)
    # Each row with each interval that it covers.
    interval = np.arange(len(row)) - np.repeat(np.cumsum(counts) - counts, counts) + first[row]
    number = max(len(points) - 1, 0)
    rows = np.bincount(interval, minlength=number)
    covered = np.flatnonzero(rows)
    sums = [np.bincount(interval, column[row], minlength=number) for column in values.T]
    means = np.stack(sums, axis=1)[covered] / rows[covered, None] if len(sums) else values[:0]
    return points[:-1][covered], points[1:][covered], means


def merge(starts: np.ndarray, ends: np.ndarray, what: np.ndarray, value: np.ndarray) -> tuple:
    """Intervals that touch and are of the same thing as one, with their mean weighted by bases.

    Parameters
    ----------
    starts, ends, what, value : ndarray, (n,)
        In order, without overlap.

    Returns
    -------
    tuple of ndarray
        The same four.
    """
    if not len(starts):
        return starts, ends, what, value
    new = np.concatenate([[True], (starts[1:] != ends[:-1]) | (what[1:] != what[:-1])])
    first = np.flatnonzero(new)
    bases = np.add.reduceat(ends - starts, first)
    means = np.add.reduceat((ends - starts) * value, first) / bases
    return starts[first], ends[np.append(first[1:], len(starts)) - 1], what[first], means


def _joined(spans: list[Spans]) -> Spans:
    return tuple(np.concatenate(each) for each in zip(*spans, strict=True))


def _around(spans: Spans, length: int) -> Spans:
    """Rows over the origin as two: up to the end of the contig, and from its first base."""
    starts, ends, values = spans
    over = ends > length
    if not over.any():
        return spans
    rest = np.maximum(starts[over] - length, 0), ends[over] - length, values[over]
    inside = starts < length
    kept = starts[inside], np.minimum(ends[inside], length), values[inside]
    return _joined([kept, rest])
