"""The stretches on which the burn-in is measured."""

import numpy as np

from evo2_embed.analysis.burn_in.limits import ROW


def stretch_bounds(length: int, starts: int) -> np.ndarray:
    """Start and end of each stretch, in bases from the start of the longest, on its strand.

    Parameters
    ----------
    length : int
        Maximum bases of the longest stretch, at least `MIN_LENGTH`.
    starts : int
        Maximum number of short stretches, which start without context.

    Returns
    -------
    ndarray of int64, (n, 2)
        First the longest stretch, then the short ones. These are a quarter as long and start
        between half and three quarters of it. All bounds are multiples of `ROW`, so that the rows
        of all stretches have the same bases.

    Examples
    --------
    >>> stretch_bounds(1024, 3).tolist()
    [[0, 1024], [512, 768], [640, 896], [768, 1024]]
    """
    quarter = length // (4 * ROW) * ROW
    begins = np.unique(np.linspace(2 * quarter, 3 * quarter, starts).astype(np.int64) // ROW * ROW)
    return np.array([(0, 4 * quarter), *((begin, begin + quarter) for begin in begins.tolist())])
