"""Windows over a contig: where chunks start and end."""

from collections.abc import Iterable

import numpy as np

from evo2_embed.chunk.stretches import group_windows
from evo2_embed.chunk.tiling import count_windows
from evo2_embed.genomes.regions import Regions
from evo2_embed.io.parts import Parts, edges_of
from evo2_embed.settings.windows import Windows


def plan_windows(
    length: int, windows: Windows, regions: Regions | None
) -> tuple[dict[str, np.ndarray], int]:
    """The windows of a contig, or of regions of it, on its strands.

    Parameters
    ----------
    length : int
        Bases of the contig.
    windows : Windows
    regions : Regions, optional
        Without them, the whole contig.

    Returns
    -------
    plan : dict of str to ndarray, (n,)
        `start`, `end`, `strand`, `name`, `parts`, `stretch` (its number in the contig) and
        `context`; sorted by start, strand and end.
    skipped : int
        Number of windows shorter than `min_length`, which are left out.
    """
    tiled = []
    for first, end, given, named in _spans(length, regions):
        starts, ends = tile_windows(end - first, windows.size, windows.stride, windows.last)
        strands = "+-" if windows.strands == "both" else windows.strands
        for strand in given or strands:
            tiled.append((starts + first, ends + first, strand, named))
    all_starts, all_ends, strand, name = zip(*tiled, strict=True)
    counts = [len(starts) for starts in all_starts]
    starts, ends = np.concatenate(all_starts), np.concatenate(all_ends)
    strands, names = np.repeat(strand, counts), np.repeat(np.array(name, object), counts)
    order = np.lexsort((ends, strands, starts))
    keep = order[(ends - starts)[order] >= windows.min_length]
    starts, ends, strands = starts[keep], ends[keep], strands[keep]
    stretch, context = group_windows(starts, ends, strands, length, windows.context)
    plan = {"start": starts, "end": ends, "strand": strands, "name": names[keep]}
    plan |= {"parts": Parts.none(len(keep)), "stretch": stretch, "context": context}
    return plan, len(order) - len(keep)


def plan_records(lengths: np.ndarray, windows: Windows) -> tuple[dict[str, np.ndarray], int]:
    """The windows of many records at once: those that `plan_windows` gives for one after the other.

    Parameters
    ----------
    lengths : ndarray of int64, (r,)
        Bases of each record. With `context.span` other than `size`, at most `span`.
    windows : Windows

    Returns
    -------
    plan, skipped
        As from `plan_windows`, with `record`, the index of each window's record. `start` and `end`
        count from the first base of the first record: the records lie end to end.
    """
    sizes, which = np.unique(lengths, return_inverse=True)
    tiles = [count_windows(n, windows.size, windows.stride, windows.last) for n in sizes.tolist()]
    counts, last_starts = np.array(tiles, np.int64).reshape(-1, 2)[which].T
    record = np.repeat(np.arange(len(lengths)), counts)
    edges = edges_of(counts)
    starts = (np.arange(edges[-1]) - edges[record]) * windows.stride
    starts[edges[1:] - 1] = last_starts
    ends = np.minimum(starts + windows.size, lengths[record])
    strands = np.array(list("+-" if windows.strands == "both" else windows.strands))
    long = ends - starts >= windows.min_length
    record, starts, ends = (
        np.repeat(values[long], len(strands)) for values in (record, starts, ends)
    )
    n = len(starts)
    strand = np.tile(strands, n // len(strands))
    if windows.context.span == "size":
        stretch, context = np.arange(n), ends - starts
    else:
        stretch = record * len(strands) + np.arange(n) % len(strands)
        context = np.where(strand == "+", ends, lengths[record] - starts)
    before = edges_of(lengths)[record]
    plan = {"start": starts + before, "end": ends + before, "strand": strand, "record": record}
    plan |= {"name": np.full(n, None, object), "parts": Parts.none(n)}
    plan |= {"stretch": stretch, "context": context}
    return plan, int((~long).sum()) * len(strands)


def _spans(length: int, regions: Regions | None) -> Iterable[tuple[int, int, str, str | None]]:
    """Start, end, strand and name of each region, or of the whole contig."""
    if regions is None:
        return [(0, length, "", None)]
    columns = (regions.start, regions.end, regions.strand, regions.name)
    return zip(*(column.tolist() for column in columns), strict=True)


def tile_windows(
    length: int, size: int, stride: int, last: str = "keep"
) -> tuple[np.ndarray, np.ndarray]:
    """Cut a contig, or a region of one, into windows.

    The parameters are those of `tiling.count_windows`.

    Returns
    -------
    starts, ends : ndarray of int64
        0-based, half-open, ascending.
    """
    count, last_start = count_windows(length, size, stride, last)
    starts = np.arange(count, dtype=np.int64) * stride
    starts[-1:] = last_start
    return starts, np.minimum(starts + size, length)
