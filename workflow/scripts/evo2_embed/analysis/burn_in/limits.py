"""The longest context of a burn-in, and the memory to measure it. Light: rules import it."""

from evo2_embed.model.models import context_length, layer_widths
from evo2_embed.settings.sections import BurnIn, Extraction, Settings

# Bases per embedding: few, to know how far each is from the start; some, so that it depends more on
# the sequence around it than on its last letters.
ROW = 32

BASE_MB = 1500  # the libraries


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
