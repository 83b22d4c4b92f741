"""Which bases the burn-in is measured on. Light: rules ask for it."""

import numpy as np

from evo2_embed.model.models import context_length, layer_widths
from evo2_embed.settings.sections import BurnIn, Extraction, Settings

# Bases that one embedding is made of, here: few, so that one knows how far it is from the start,
# and some, so that it tells more of the place than of its last letters.
ROW = 32
# A contig, or a context, shorter than this says nothing.
MIN_LENGTH = 1024

BASE_MB = 1500


def longest_context(settings: Settings, extraction: str) -> int:
    """Most bases that the longest context may have: what the configuration asks for, as far as the
    extraction's model was trained for it, and one pass takes it where it has to.

    Parameters
    ----------
    settings : Settings
        Complete.
    extraction : str
        Its name.
    """
    packing, chosen = settings.packing, settings.extractions[extraction]
    tokens = [context_length(chosen.model.name)]
    if packing.strategy == "padded" or chosen.engine == "stock":
        tokens += [packing.max_tokens, packing.piece]
    return min(settings.burn_in.length, min(tokens) - packing.bos)


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


def measure_mb(extraction: Extraction, settings: BurnIn) -> int:
    """MB for measuring an extraction: the rows of its widest layer, as read and as numbers.

    Parameters
    ----------
    extraction : Extraction
        Complete.
    settings : BurnIn
    """
    widths = layer_widths(extraction.model.name)
    widest = max(widths[layer] for layer in extraction.layers)
    in_row = min(extraction.bin or ROW, ROW)
    rows = settings.length * (1 + settings.starts / 4) / in_row
    return BASE_MB + round(3 * rows * widest * 4 / 1_000_000)
