"""Windows over a contig: where chunks start and end."""

import numpy as np


def tile_windows(
    length: int, size: int, stride: int, last: str = "keep"
) -> tuple[np.ndarray, np.ndarray]:
    """Cut a contig, or a region of one, into windows.

    Windows start at 0, `stride`, 2 `stride` ... and end once one of them reaches the end of the
    contig, so no window lies wholly inside the one before it.

    Parameters
    ----------
    length : int
        Bases in the contig.
    size, stride : int
        Bases in a window, and from one window's start to the next one's.
    last : {"keep", "shift"}
        What becomes of a last window that would run over the end: kept short, or shifted back to
        full size. A contig shorter than `size` gives one short window either way.

    Returns
    -------
    starts, ends : ndarray of int64
        0-based, half-open, ascending.
    """
    if length <= 0:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    count = 1 + max(0, -(-(length - size) // stride))
    starts = np.arange(count, dtype=np.int64) * stride
    starts = starts[starts < length]  # with gaps between windows the last may start past the end
    if last == "shift":
        starts[-1] = min(starts[-1], max(0, length - size))
    return starts, np.minimum(starts + size, length)
