"""Memory of a job that probes layers. Light: the rule asks for it."""

from evo2_embed.model.registry import layer_widths
from evo2_embed.settings.extraction import Extraction

BASE_MB = 2000  # the libraries, and the keys of about ten million rows
COPIES = 4  # as read, standardised, reduced, and one in work


def probe_mb(extraction: Extraction, rows: int) -> int:
    """MB for the probed rows of the widest layer, or of all layers that one fusion joins.

    Parameters
    ----------
    extraction : Extraction
        Complete settings.
    rows : int
        Maximum number of probed rows.
    """
    widths = layer_widths(extraction.model.name)
    fusions = extraction.fusion.values()
    joined = [fusion.layers or extraction.layers for fusion in fusions]
    alone = [[layer] for layer in extraction.layers]
    widest = max(sum(widths[layer] for layer in layers) for layers in [*joined, *alone])
    strands = 1 + any(fusion.strands != "keep" for fusion in fusions)
    return BASE_MB + COPIES * strands * rows * widest * 4 // 1_000_000
