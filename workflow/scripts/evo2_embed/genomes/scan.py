"""Saturation scans: which bases of a genome are changed, and which share a window, without letters.

Bases of a scan that are near each other share the window of the reference, so it runs once for all
of their alternates.

numpy is imported only where a run has a scan.
"""

from typing import TYPE_CHECKING

from evo2_embed.genomes.intervals import MOST_BASES
from evo2_embed.genomes.regions import Regions, read_regions
from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.genomes.variant_sample import Sites
from evo2_embed.settings.settings import Settings
from evo2_embed.settings.windows import VariantSettings

if TYPE_CHECKING:
    import numpy as np

N_OTHERS = 3  # alternates of a base
_SHARE = 8  # of the bases on either side of a variant, a part as small as this may be shared


def scanned_bases(
    regions: Regions, length: int, section: VariantSettings
) -> tuple[Sites, "np.ndarray"]:
    """The bases of regions, each once.

    Parameters
    ----------
    regions : Regions
        Not spliced.
    length : int
        Bases of the contig. A base past its end is one behind the origin.
    section : VariantSettings
        Complete.

    Returns
    -------
    sites : Sites
        Of n bases, ascending.
    region : ndarray of int64, (n,)
        Index of the first region that each one is in.
    """
    import numpy as np

    sizes = regions.length
    before = np.cumsum(sizes) - sizes
    region = np.repeat(np.arange(len(regions)), sizes)
    every = np.arange(len(region)) + (regions.start - before)[region]
    position, rows = np.unique(every % length, return_index=True)
    start = _first_of_window(position, section)
    window = np.cumsum(start) - 1
    first = np.flatnonzero(start)
    last = np.append(first[1:], len(position)) - 1
    ones = np.ones_like(position)
    return Sites(position, ones, ones, position[first][window], position[last][window]), region[
        rows
    ]


def _first_of_window(position: "np.ndarray", section: VariantSettings) -> "np.ndarray":
    """Whether each base is the first of those that share a window. Bases without a gap between them
    are divided evenly."""
    import numpy as np

    most = max(1, min(section.downstream, section.size - section.downstream) // _SHARE)
    begins = np.flatnonzero(np.diff(position, prepend=-2) != 1)
    count = np.diff(begins, append=len(position))
    width = -(-count // -(-count // most))
    number = np.arange(len(position)) - np.repeat(begins, count)
    return number % np.repeat(width, count) == 0


def scan_sites(
    genome: Genome, lengths: dict[str, int] | None, settings: Settings
) -> dict[str, Sites]:
    """The variants of a scan by contig, as if no letter were ambiguous.

    Parameters
    ----------
    genome : Genome
    lengths : dict, optional
        Bases by contig.
    settings : Settings
        Complete.

    Raises
    ------
    InputError
        If the file of regions cannot be read.
    """
    import numpy as np

    sites = {}
    for contig, regions in read_regions(genome.regions, settings.regions).items():
        length = (lengths or {}).get(contig, 2 * MOST_BASES)
        bases, _ = scanned_bases(regions, length, settings.variants)
        sites[contig] = bases.take(np.repeat(np.arange(len(bases)), N_OTHERS))
    return sites
