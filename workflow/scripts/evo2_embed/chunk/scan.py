"""The variants of a saturation scan: each base of the regions of a contig, changed to the three
others."""

import numpy as np
import pyarrow as pa

from evo2_embed.chunk.measures import Source
from evo2_embed.genomes.blocks import BLOCK, UPPER_BITS
from evo2_embed.genomes.regions import Regions
from evo2_embed.genomes.scan import N_OTHERS, scanned_bases
from evo2_embed.genomes.variant_sample import Sites
from evo2_embed.genomes.variants import Variants
from evo2_embed.settings.windows import VariantSettings

_BASES = b"ACGT"
# By letter, the other bases in the order of the alphabet; zeros for a letter that is no base.
_OTHERS = np.zeros((256, N_OTHERS), np.uint8)
for _base in _BASES:
    _OTHERS[_base] = [other for other in _BASES if other != _base]


def scan_bases(
    source: Source, regions: Regions, length: int, section: VariantSettings
) -> tuple[Variants, Sites, int]:
    """The variants of the regions of a contig.

    Parameters
    ----------
    source : Source
    regions : Regions
        On the contig.
    length : int
        Bases of the contig.
    section : VariantSettings
        Complete.

    Returns
    -------
    variants : Variants
        Sorted by position and alternate; the ID is the name of the first region with the base.
    sites : Sites
        The same variants, and which share a window.
    ambiguous : int
        Number of ambiguous letters in the regions, which are left out.
    """
    bases, region = scanned_bases(regions, length, section)
    position = bases.position
    letters = _letters(source, position)
    others = _OTHERS[letters]
    keep = np.flatnonzero(others[:, 0])
    names = pa.array(regions.name, pa.large_string()).take(pa.array(region[keep]))
    variants = Variants(
        np.repeat(position[keep], N_OTHERS),
        _single(np.repeat(letters[keep], N_OTHERS)),
        _single(others[keep].ravel()),
        names.take(pa.array(np.repeat(np.arange(len(keep)), N_OTHERS))),
    )
    return variants, bases.take(np.repeat(keep, N_OTHERS)), len(position) - len(keep)


def _letters(source: Source, position: np.ndarray) -> np.ndarray:
    """The letters at ascending positions in upper case: uint8, (n,)."""
    letters, row = np.empty(len(position), np.uint8), 0
    while row < len(position):
        first = int(position[row])
        stop = int(np.searchsorted(position, first + BLOCK))
        tokens, _, _ = source.read(first, int(position[stop - 1]) + 1)
        letters[row:stop] = tokens[position[row:stop] - first] & UPPER_BITS
        row = stop
    return letters


def _single(letters: np.ndarray) -> pa.LargeStringArray:
    """Texts of one letter each."""
    edges = pa.py_buffer(np.arange(len(letters) + 1, dtype=np.int64))
    return pa.LargeStringArray.from_buffers(len(letters), edges, pa.py_buffer(letters))
