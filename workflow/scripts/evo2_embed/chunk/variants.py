"""Variants of a contig to pairs of windows: the reference's and the alternate's, on each strand.

In the direction of the strand, both windows of a pair begin at the same base, the variant comes
after the same number of bases, and both have the same number of bases.

Windows of the reference that begin at the same base of a strand are one stretch, so they run once.
With `share: contig`, windows share stretches as other windows with context do. An alternate whose
first bases are those of such a stretch, its parent, is a fork of it. Bases of a scan that are near
each other have one window (`genomes.scan`).

Example: the record at position 6 (from 1) with the reference allele GTT and the alternate G, in
windows of 8 bases, 4 of them before the variant.

    position        1234567890123
    contig          ACCATGTTCAGGA
    on +  ref        CCATGTTC
          alt        CCATG  CAG       two more at its end
    on -  ref           TGTTCAGG      read from the right: CCTG, then AACA
          alt         CATG  CAGG      CCTG, then CATG

>>> sites = Sites(np.array([5]), np.array([3]), np.array([1]))
>>> section = VariantSettings(size=8, downstream=4)
>>> pairs, _ = plan_variants(13, sites, Windows(strands="both"), section)
>>> [[p[key].item() for key in ("start", "end", "alt_start", "alt_end")] for _, p in pairs]
[[1, 9, 1, 11], [4, 12, 2, 12]]
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from evo2_embed.chunk.stretches import cut_stretches
from evo2_embed.genomes.variant_sample import Sites
from evo2_embed.settings.windows import VariantSettings, Windows

Pairs = dict[str, np.ndarray]


def plan_variants(
    length: int, sites: Sites, windows: Windows, section: VariantSettings
) -> tuple[Iterator[tuple[str, Pairs]], Counter]:
    """The windows of the variants of a contig. One strand is in memory at a time.

    Parameters
    ----------
    length : int
        Bases of the contig.
    sites : Sites
        Inside the contig.
    windows : Windows
        Strands, the shortest window, and with `share: contig` the context.
    section : VariantSettings
        Complete.

    Returns
    -------
    pairs : iterator of (str, dict of str to ndarray of int64, (n,))
        By strand. Pairs of one stretch and its forks follow each other. Positions are on the
        forward strand:

        variant : index of the variant
        start, end : the reference's window
        alt_start, alt_end : what the alternate's window covers of the reference
        site, site_end : the reference allele
        length : bases of each window
        upstream : bases of each window before the variant
        stretch, alt_stretch : numbers of their stretches on the contig, below 4 n
        fork : bases of that stretch before the variant
        is_fork : whether the alternate is a fork of it; if not, it runs whole
    skipped : Counter
        Number of variants that have no window, by reason.
    """
    skipped = Counter()
    strands = "+-" if windows.strands == "both" else windows.strands
    size = np.maximum(sites.ref_length, sites.alt_length)
    keep = size <= section.downstream
    skipped["skipped: allele longer than variants.downstream"] = int((~keep).sum())
    spans = {strand: _spans(length, sites, strand, section) for strand in strands}
    for at, begin, end in spans.values():
        fits = (end - at >= sites.alt_length) & (end - begin >= windows.min_length)
        skipped["skipped: window too short at the end of its contig"] += int((keep & ~fits).sum())
        keep &= fits
    rows = np.flatnonzero(keep)

    def planned() -> Iterator[tuple[str, Pairs]]:
        for number, strand in enumerate(strands):
            mine = _pairs(length, sites, rows, strand, spans[strand], windows, section)
            first = 2 * len(sites) * number
            mine["stretch"] += first
            mine["alt_stretch"] = first + len(sites) + mine["variant"]
            yield strand, mine

    return planned(), +skipped


def _spans(
    length: int, sites: Sites, strand: str, section: VariantSettings
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Positions on a strand: the variant, and start and end of the reference's window."""
    at = last = sites.position
    if strand == "-":
        at = last = length - at - sites.ref_length
    if sites.first is not None:  # of several that have the same window, the last one on the strand
        last = sites.last if strand == "+" else length - 1 - sites.first
    begin = np.maximum(last - (section.size - section.downstream), 0)
    # An alternate that lacks bases needs as many more at its end.
    lacking = np.maximum(sites.ref_length - sites.alt_length, 0)
    return at, begin, np.minimum(last + section.downstream, length - lacking)


def _pairs(
    length: int,
    sites: Sites,
    rows: np.ndarray,
    strand: str,
    spans: tuple[np.ndarray, np.ndarray, np.ndarray],
    windows: Windows,
    section: VariantSettings,
) -> Pairs:
    at, begin, end = (values[rows] for values in spans)
    stretch, origin = _stretches(begin, end, windows, section)
    # In the order of the contig; a stretch in it is not interrupted.
    order = np.lexsort((sites.position[rows], stretch if strand == "+" else -stretch))
    rows, at, begin, end, stretch, origin = (
        values[order] for values in (rows, at, begin, end, stretch, origin)
    )
    position, ref = sites.position[rows], sites.ref_length[rows]
    alt_end = end + ref - sites.alt_length[rows]
    intervals = (begin, end), (begin, alt_end)
    if strand == "-":
        intervals = tuple((length - stop, length - first) for first, stop in intervals)
    (start, stop), (alt_start, alt_stop) = intervals
    return {
        "variant": rows,
        "start": start,
        "end": stop,
        "alt_start": alt_start,
        "alt_end": alt_stop,
        "site": position,
        "site_end": position + ref,
        "length": end - begin,
        "upstream": at - begin,
        "stretch": stretch,
        "fork": at - origin,
        "is_fork": (at > origin) & (section.share != "none"),
    }


def _stretches(
    begin: np.ndarray, end: np.ndarray, windows: Windows, section: VariantSettings
) -> tuple[np.ndarray, np.ndarray]:
    """Numbers of the stretches of windows on a strand, ascending, and where these begin."""
    if section.share == "contig":
        return cut_stretches(begin, end, windows.context.span, windows.context.min)
    return np.unique(begin, return_inverse=True)[1], begin


class Counts(NamedTuple):
    """Numbers of windows, of stretches that run, and of their bases; of bases on each strand that
    these stretches cover, each counted once; and of the points where alternates begin in a
    reference."""

    windows: int
    stretches: int
    bases: int
    covered: int
    points: int


def count_pairs(pairs: Iterable[tuple[str, Pairs]]) -> Counts:
    """Counts of the pairs of `plan_variants`."""
    sums = Counts(0, 0, 0, 0, 0)
    for strand, mine in pairs:
        own, number = mine["length"] - mine["upstream"], np.unique(mine["stretch"])
        longest = np.zeros(len(number), np.int64)
        np.maximum.at(longest, np.searchsorted(number, mine["stretch"]), mine["fork"] + own)
        alternates = np.where(mine["is_fork"], own, mine["length"])
        points = mine["stretch"] * (mine["fork"].max(initial=0) + 1) + mine["fork"]
        counts = (
            2 * len(own),
            len(longest) + len(own),
            int(longest.sum()) + int(alternates.sum()),
            _covered(mine, strand),
            len(np.unique(points[mine["is_fork"]])),
        )
        sums = Counts(*map(sum, zip(sums, counts, strict=True)))
    return sums


def _covered(mine: Pairs, strand: str) -> int:
    """Bases of the contig in the reference's stretches up to the ends of their windows."""
    start, end = mine["start"], mine["end"]
    if strand == "+":
        start = mine["site"] - mine["fork"]
    else:
        end = mine["site_end"] + mine["fork"]
    order = np.argsort(start, kind="stable")
    reached = np.maximum.accumulate(end[order])
    before = np.concatenate([start[order[:1]], reached[:-1]])
    return int(np.maximum(reached - np.maximum(before, start[order]), 0).sum())
