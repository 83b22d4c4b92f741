"""Which bases the burn-in is measured on."""

import numpy as np

from evo2_embed.analysis.burn_in.limits import ROW

# A contig, or a context, shorter than this says nothing.
MIN_LENGTH = 1024


def place_stretches(length: int, starts: int) -> np.ndarray:
    """Where stretches begin and end, counted from the start of the first, on the strand that runs.

    Parameters
    ----------
    length : int
        Bases that there are for the longest context, at least `MIN_LENGTH`.
    starts : int
        Stretches that begin with nothing before them, at most.

    Returns
    -------
    ndarray of int64, (n, 2)
        First the longest context, then those that begin between its half and its third quarter, a
        quarter as long. All are multiples of `ROW`, so that their rows lie at the same places.
    """
    quarter = length // (4 * ROW) * ROW
    begins = np.unique(np.linspace(2 * quarter, 3 * quarter, starts).astype(np.int64) // ROW * ROW)
    return np.array([(0, 4 * quarter), *((begin, begin + quarter) for begin in begins.tolist())])
