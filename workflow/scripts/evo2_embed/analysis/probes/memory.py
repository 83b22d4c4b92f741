"""How much memory a job of probes takes. Light: its rule asks for it."""

from evo2_embed.model.models import layer_widths

BASE_MB = 2000  # the libraries, and the keys of some ten million rows
COPIES = 4  # as read, standardised, reduced, and in the making


def probe_mb(extraction: dict, rows: int) -> int:
    """MB for the vectors of so many rows: of the widest layer, or of all that one fusion joins.

    Parameters
    ----------
    extraction : dict
        Its section of the settings, complete.
    rows : int
        Rows that are probed.
    """
    widths = layer_widths(extraction["model"]["name"])
    joined = [fusion["layers"] or extraction["layers"] for fusion in extraction["fusion"].values()]
    widest = max(sum(widths[layer] for layer in layers) for layers in [*joined, *_each(extraction)])
    strands = 1 + any(fusion["strands"] != "keep" for fusion in extraction["fusion"].values())
    return BASE_MB + COPIES * strands * rows * widest * 4 // 1_000_000


def _each(extraction: dict) -> list[list[str]]:
    return [[layer] for layer in extraction["layers"]]
