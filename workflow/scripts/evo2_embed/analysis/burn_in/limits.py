"""Limits of a measurement: bases, context and memory. Light: rules ask for them."""

from evo2_embed.model.registry import context_length, layer_widths
from evo2_embed.settings.analyses import BurnIn
from evo2_embed.settings.extraction import Extraction
from evo2_embed.settings.settings import Settings

# Bases per row. Few, so that the distance from the start is known well; not one, so that an
# embedding depends on more than the last letter.
ROW = 32
# A contig or context with fewer bases is too short to measure.
MIN_LENGTH = 1024

BASE_MB = 1500


def longest_context(settings: Settings, extraction: str) -> int:
    """Maximum bases of the longest context: `burn_in.length`, or a lower limit of the model.

    The model has a training context. Padded packs and the stock engine also run a whole stretch
    in one pack; the packed engine can run a stretch in several.

    Parameters
    ----------
    settings : Settings
        Complete settings.
    extraction : str
        Its name.
    """
    packing, chosen = settings.packing, settings.extractions[extraction]
    tokens = [context_length(chosen.model.name)]
    if packing.strategy == "padded" or chosen.engine == "stock":
        tokens += [packing.max_tokens, packing.piece]
    return min(settings.burn_in.length, min(tokens) - packing.bos)


def measure_mb(extraction: Extraction, burn_in: BurnIn) -> int:
    """MB to measure an extraction: the rows of its widest layer, as read and as arrays.

    Parameters
    ----------
    extraction : Extraction
        Complete settings.
    burn_in : BurnIn
    """
    widths = layer_widths(extraction.model.name)
    widest = max(widths[layer] for layer in extraction.layers)
    in_row = min(extraction.bin or ROW, ROW)
    rows = burn_in.length * (1 + burn_in.starts / 4) / in_row
    return BASE_MB + round(3 * rows * widest * 4 / 1_000_000)
