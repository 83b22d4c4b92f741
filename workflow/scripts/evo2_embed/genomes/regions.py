"""Regions of genomes: the intervals that a file names, in columns.

numpy is imported only where a run has regions: others are planned without it.
"""

import os
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from evo2_embed.io.errors import InputError
from evo2_embed.io.text import numbered_lines, shown, whole_number
from evo2_embed.settings.sections import RegionSettings

if TYPE_CHECKING:
    import numpy as np

MOST_BASES = 10**12  # no contig has a larger position

# Contig, start, end, name, and strand; None for a name or a strand that the line does not have.
BedRow = tuple[str, int, int, str | None, str | None]


@dataclass(frozen=True, eq=False)
class Regions:
    """Regions of a contig, in the order of the file. Positions are 0-based, half-open, on the
    forward strand; an end past the contig's length is past the origin of a circular contig.

    Attributes
    ----------
    start, end : ndarray of int64, (n,)
    strand : ndarray of U1, (n,)
        `+`, `-`, or an empty text where none is given.
    name : ndarray of object, (n,)
        A str, or None.
    line : ndarray of int64, (n,)
        Line of the file.
    edges : ndarray of int64, (n + 1,)
        Region i consists of the parts `edges[i]` to `edges[i + 1]`: one, unless it is spliced.
    part_start, part_end : ndarray of int64, (m,)
        The parts of a region are ascending, and do not overlap.
    """

    start: "np.ndarray"
    end: "np.ndarray"
    strand: "np.ndarray"
    name: "np.ndarray"
    line: "np.ndarray"
    edges: "np.ndarray"
    part_start: "np.ndarray"
    part_end: "np.ndarray"

    def __len__(self) -> int:
        return len(self.start)

    @property
    def length(self) -> "np.ndarray":
        """Bases of the parts of each region: ndarray of int64, (n,)."""
        import numpy as np

        return np.add.reduceat(self.part_end - self.part_start, self.edges[:-1])

    def take(self, rows: "np.ndarray") -> "Regions":
        """The regions with these indexes, in their order."""
        import numpy as np

        counts = np.diff(self.edges)[rows]
        edges = np.concatenate([[0], np.cumsum(counts)])
        parts = np.arange(edges[-1]) + np.repeat(self.edges[:-1][rows] - edges[:-1], counts)
        columns = (self.start, self.end, self.strand, self.name, self.line)
        return Regions(
            *(column[rows] for column in columns),
            edges,
            self.part_start[parts],
            self.part_end[parts],
        )


class RegionLists:
    """The columns of regions while a file is read: lists, in the order of the file."""

    def __init__(self):
        self.contigs: dict[str, int] = {}  # by name, its number
        self.contig, self.start, self.end, self.line, self.edges = (array("q") for _ in range(5))
        self.part_start, self.part_end = array("q"), array("q")
        self.strand: list[str] = []
        self.name: list[str | None] = []
        self.edges.append(0)

    def add(
        self, contig: str, start: int, end: int, strand: str, name: str | None, line: int
    ) -> None:
        """Add a region of one part."""
        self.contig.append(self.contigs.setdefault(contig, len(self.contigs)))
        self.start.append(start)
        self.end.append(end)
        self.strand.append(strand)
        self.name.append(name)
        self.line.append(line)
        self.part_start.append(start)
        self.part_end.append(end)
        self.edges.append(len(self.part_start))

    def by_contig(self) -> dict[str, Regions]:
        """The regions of each contig."""
        import numpy as np

        def whole(column: array) -> np.ndarray:
            return np.array(column, np.int64)

        regions = Regions(
            whole(self.start),
            whole(self.end),
            np.array(self.strand, "U1"),
            np.array(self.name, object),
            whole(self.line),
            whole(self.edges),
            whole(self.part_start),
            whole(self.part_end),
        )
        order = np.argsort(whole(self.contig), kind="stable")
        stops = np.cumsum(np.bincount(whole(self.contig), minlength=len(self.contigs)))
        rows = np.split(order, stops[:-1])
        return {contig: regions.take(mine) for contig, mine in zip(self.contigs, rows, strict=True)}


def read_regions(path: str, settings: RegionSettings) -> dict[str, Regions]:
    """Read a file of regions.

    Parameters
    ----------
    path : str
    settings : RegionSettings
        The section `regions` of the configuration.

    Returns
    -------
    dict
        Regions by contig, in the order of the file.

    Raises
    ------
    InputError
        If a line is not BED, with the file and the line; if there are no regions.
    """
    state = os.stat(path)
    return _read(path, state.st_mtime_ns, state.st_size)


def region_faults(path: str, settings: RegionSettings) -> list[str]:
    """The first fault of a file of regions, in one line; empty if there is none. Takes about two
    seconds per million regions."""
    try:
        read_regions(path, settings)
    except InputError as error:
        return [str(error)]
    return []


def region_bases(path: str, settings: RegionSettings) -> int:
    """Bases of all regions of a file; bases in two regions count twice.

    Raises
    ------
    InputError
        As `read_regions`.
    """
    return sum(int(mine.length.sum()) for mine in read_regions(path, settings).values())


# Once per version of a file: a run first checks it, then plans with it. Few, for the memory.
@lru_cache(maxsize=4)
def _read(path: str, *state: int) -> dict[str, Regions]:
    regions = RegionLists()
    for number, (contig, start, end, name, strand) in _rows(path):
        regions.add(contig, start, end, strand or "", name, number)
    if not regions.start:
        raise InputError(f"{path}: no regions in this BED file")
    return regions.by_contig()


def _rows(path: str) -> Iterator[tuple[int, BedRow]]:
    """Number and content of each line with a region."""
    try:
        with open(path, encoding="utf-8-sig") as handle:
            for number, line in numbered_lines(handle):
                try:
                    row = parse_bed(line)
                except InputError as error:
                    raise InputError(f"line {number}: {error}") from None
                if row:
                    yield number, row
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a text file (wanted: an uncompressed BED file)") from None


def parse_bed(line: str) -> BedRow | None:
    """The content of a line of a BED file; None for a comment or an empty line.

    Raises
    ------
    InputError
        If the line is not BED.
    """
    if not line.strip() or line.startswith(("#", "track", "browser")):
        return None
    cells = line.split("\t") if "\t" in line else line.split()
    try:
        start, end = whole_number(cells[1]), whole_number(cells[2])
    except (IndexError, ValueError):
        raise InputError("not BED (wanted: contig, start and end, separated by tabs)") from None
    if not 0 <= start < end:
        raise InputError(f"start {start} and end {end} (wanted: 0 <= start < end)")
    if end > MOST_BASES:
        raise InputError(f"end {end} (allowed: at most {MOST_BASES})")
    strand = cells[5].strip() if len(cells) > 5 else "."
    if strand not in ("+", "-", "."):
        raise InputError(f"strand '{shown(strand)}' (allowed: + - .)")
    name = cells[3] if len(cells) > 3 and cells[3] not in ("", ".") else None
    return cells[0], start, end, name, None if strand == "." else strand
