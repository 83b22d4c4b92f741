"""Regions in columns: while a file is read, and by contig."""

from array import array
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


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
        self.contig, self.start, self.end, self.line = (array("q") for _ in range(4))
        self.strand: list[str] = []
        self.name: list[str | None] = []
        self.parts: dict[int, list[tuple[int, int]]] = {}  # of regions with several
        self.joined: list[int] = []  # regions that are part of another one

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

    def set_parts(self, parts: list[tuple[int, int]]) -> None:
        """Give the last region its parts, which are ascending and do not overlap."""
        if len(parts) > 1:
            self.parts[len(self.start) - 1] = parts

    def join_over_origin(self, last: int, first: int) -> None:
        """Join two regions of one part: `last`, which ends at the end of its circular record, and
        `first`, which begins at its start."""
        self.end[last] += self.end[first]
        self.joined.append(first)

    def by_contig(self) -> dict[str, Regions]:
        """The regions of each contig."""
        import numpy as np

        start, end, line, contig = (
            np.array(column, np.int64) for column in (self.start, self.end, self.line, self.contig)
        )
        counts = np.ones(len(start), np.int64)
        rows = list(self.parts)
        counts[rows] = [len(parts) for parts in self.parts.values()]
        edges = np.concatenate([[0], np.cumsum(counts)])
        part_start, part_end = np.repeat(start, counts), np.repeat(end, counts)
        if rows:
            spans = np.array([span for parts in self.parts.values() for span in parts], np.int64)
            where = np.repeat(counts > 1, counts)
            part_start[where], part_end[where] = spans.T
        strand, name = np.array(self.strand, "U1"), np.array(self.name, object)
        regions = Regions(start, end, strand, name, line, edges, part_start, part_end)
        kept = np.delete(np.arange(len(start)), self.joined)
        order = kept[np.argsort(contig[kept], kind="stable")]
        stops = np.cumsum(np.bincount(contig[kept], minlength=len(self.contigs)))
        mine = np.split(order, stops[:-1])
        return {name: regions.take(rows) for name, rows in zip(self.contigs, mine, strict=True)}
