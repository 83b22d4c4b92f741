"""Windows over a contig: where chunks start and end."""

import numpy as np

from evo2_embed.chunk.stretches import place_windows
from evo2_embed.genomes.regions import Region


def plan_windows(
    length: int, windows: dict, regions: list[Region] | None
) -> tuple[dict[str, np.ndarray], int]:
    """The windows of a contig, or of regions of it, on its strands.

    Parameters
    ----------
    length : int
        Bases of the contig.
    windows : dict
        The section `windows` of the configuration, complete.
    regions : list of Region, optional

    Returns
    -------
    plan : dict of str to ndarray, (n,)
        `start`, `end`, `strand`, `name`, `stretch` (its number in the contig) and `context`; sorted
        by start, strand and end.
    skipped : int
        Windows left out for being shorter than `min_length`.
    """
    parts = []
    for region in regions or [Region(0, length, None, None, 0)]:
        starts, ends = tile_windows(
            region.end - region.start, windows["size"], windows["stride"], windows["last"]
        )
        strands = "+-" if windows["strands"] == "both" else windows["strands"]
        for strand in region.strand or strands:
            parts.append((starts + region.start, ends + region.start, strand, region.name))
    starts = np.concatenate([part[0] for part in parts])
    ends = np.concatenate([part[1] for part in parts])
    strands = np.repeat([part[2] for part in parts], [len(part[0]) for part in parts])
    names = np.repeat(np.array([p[3] for p in parts], object), [len(part[0]) for part in parts])
    order = np.lexsort((ends, strands, starts))
    keep = order[(ends - starts)[order] >= windows["min_length"]]
    starts, ends, strands = starts[keep], ends[keep], strands[keep]
    stretch, context = place_windows(starts, ends, strands, length, windows["context"])
    plan = {"start": starts, "end": ends, "strand": strands, "name": names[keep]}
    return {**plan, "stretch": stretch, "context": context}, len(order) - len(keep)


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
