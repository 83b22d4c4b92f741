"""Regions over a contig: one window per region and strand, however long, and what the model reads
before it.

Example: a contig of 100 bases, circular; a transcript of two exons, and a region over the origin of
the contig. Each is read after 10 bases that are upstream of it:

>>> edges, start, end = np.array([0, 2, 3]), np.array([20, 40, 95]), np.array([30, 45, 105])
>>> mine = Regions(np.array([20, 95]), np.array([45, 105]), np.array(["+", "-"]),
...                np.array(["t", "g"], object), np.array([1, 2]), edges, start, end)
>>> plan, _ = plan_regions(100, Windows(), mine, flank=10, is_circular=True)
>>> plan["parts"].of(0), plan["parts"].of(1)
([[20, 30], [40, 45]], [[95, 100], [0, 5]])
>>> plan["context"].tolist()
[25, 20]
"""

import numpy as np

from evo2_embed.genomes.regions import Regions
from evo2_embed.io.parts import Parts, edges_of
from evo2_embed.settings.windows import Windows


def plan_regions(
    length: int, windows: Windows, regions: Regions, flank: int, is_circular: bool
) -> tuple[dict[str, np.ndarray | Parts], int]:
    """The windows of the regions of a contig, each a stretch of its own.

    Parameters
    ----------
    length : int
        Bases of the contig.
    windows : Windows
        `strands` is for regions without a strand.
    regions : Regions
        An end past the contig is past the origin of a circular contig.
    flank : int
        Bases to read before each region, in the direction of its strand; fewer at the start of the
        strand of a contig that is not circular.
    is_circular : bool

    Returns
    -------
    plan : dict of str to ndarray, (n,), or Parts
        As `windows.plan_windows`.
    skipped : int
        Number of regions with fewer bases than `min_length`, which are left out.
    """
    row, strand = _on_strands(regions, windows)
    order = np.lexsort((regions.end[row], strand, regions.start[row]))
    keep = order[regions.length[row][order] >= windows.min_length]
    chosen, strand = regions.take(row[keep]), strand[keep]
    start = chosen.start
    upstream = np.minimum(flank, _room(start, chosen.end, strand, length, is_circular))
    plan = {
        "start": start,
        "end": chosen.end,
        "strand": strand,
        "name": chosen.name,
        # What is read from the other end of a circular contig, too, is not simply [start, end).
        "parts": _parts(chosen, length, (strand == "+") & (upstream > start)),
        "stretch": np.arange(len(keep)),
        "context": chosen.length + upstream,
    }
    return plan, len(order) - len(keep)


def count_tokens(
    length: int, windows: Windows, regions: Regions, flank: int, is_circular: bool
) -> tuple[np.ndarray, np.ndarray]:
    """What `plan_regions` gives, in no order: bases of each window, and bases of its stretch, (n,).

    The parameters are the same.
    """
    row, strand = _on_strands(regions, windows)
    bases = regions.length[row]
    room = _room(regions.start[row], regions.end[row], strand, length, is_circular)
    keep = bases >= windows.min_length
    return bases[keep], (bases + np.minimum(flank, room))[keep]


def _room(
    start: np.ndarray, end: np.ndarray, strand: np.ndarray, length: int, is_circular: bool
) -> np.ndarray:
    """Bases of the contig that are upstream of each region, (n,)."""
    if is_circular:
        return length - (end - start)
    return np.where(strand == "-", length - end, start)


def _on_strands(regions: Regions, windows: Windows) -> tuple[np.ndarray, np.ndarray]:
    """Index of the region, and strand, of each window."""
    strands = "+-" if windows.strands == "both" else windows.strands
    given = regions.strand != ""
    counts = np.where(given, 1, len(strands))
    row = np.repeat(np.arange(len(regions)), counts)
    number = np.arange(len(row)) - np.repeat(edges_of(counts)[:-1], counts)
    return row, np.where(given[row], regions.strand[row], np.array(list(strands))[number])


def _parts(regions: Regions, length: int, also: np.ndarray) -> Parts:
    """The parts of regions on a contig of `length` bases, for those that have several or go over
    its origin, and `also` for these: a mask, (n,)."""
    counts = np.diff(regions.edges)
    owner = np.repeat(np.arange(len(regions)), counts)
    mine = np.repeat((counts > 1) | (regions.end > length) | also, counts)
    owner, start, end = owner[mine], regions.part_start[mine], regions.part_end[mine]
    # A part over the origin becomes two.
    pieces = 1 + ((start < length) & (end > length))
    owner, start, end = (np.repeat(values, pieces) for values in (owner, start, end))
    is_second = np.zeros(len(owner), bool)
    is_second[np.cumsum(pieces)[pieces == 2] - 1] = True
    start = np.where(is_second, length, start)
    end = np.where(start < length, np.minimum(end, length), end)
    after = length * (start >= length)
    return Parts(edges_of(np.bincount(owner, minlength=len(regions))), start - after, end - after)
