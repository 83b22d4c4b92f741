"""Exons of transcripts, from lines in any order, to regions of several parts."""

from array import array
from typing import TYPE_CHECKING

from evo2_embed.genomes.attributes import Gff3, Gtf, Style, first_value
from evo2_embed.genomes.region_lists import RegionLists
from evo2_embed.io.errors import InputError
from evo2_embed.io.text import shown

if TYPE_CHECKING:
    import numpy as np


class Transcripts:
    """The parts of transcripts while a file is read, and what belongs together.

    GTF names the transcript on each line. In GFF3, parts have a `Parent`, and lines of `CDS` with
    the same `ID` are one CDS: a transcript can have several, and a bacterial gene has no
    transcript.

    Parameters
    ----------
    names : tuple of str
        Attributes that give the name, the first that is there.
    by_id : bool
        Whether the parts are of type CDS only.
    """

    def __init__(self, names: tuple[str, ...], by_id: bool):
        self.names, self.by_id = names, by_id
        self.parents: dict[str, tuple[str | None, bool]] = {}  # by ID: name, and whether a gene
        self.groups: dict[tuple, int] = {}
        self.contig: list[str] = []  # of each group, as the next four
        self.strand: list[str] = []
        self.name: list[str | None] = []
        self.parent: list[str | None] = []
        self.line = array("q")
        self.group, self.start, self.end, self.part_line = (array("q") for _ in range(4))

    def add_other(self, kind: str, attributes: str, style: Style) -> None:
        """Remember a feature that is not a part: it may be a parent."""
        if style is Gff3 and (own := Gff3.value(attributes, "ID")):
            self.parents.setdefault(
                own,
                (
                    first_value(style, attributes, self.names or style.spliced),
                    kind.endswith("gene"),
                ),
            )

    def add(
        self,
        number: int,
        contig: str,
        span: tuple[int, int],
        strand: str,
        attributes: str,
        style: Style,
    ) -> None:
        """Add a part, the line `number` of the file."""
        for key, parent in self._keys(number, contig, attributes, style):
            group = self.groups.setdefault(key, len(self.groups))
            if group == len(self.line):
                self.contig.append(contig)
                self.strand.append(strand)
                self.name.append(first_value(style, attributes, self.names or style.spliced))
                self.parent.append(parent)
                self.line.append(number)
            self._check_place(group, number, contig, strand)
            self.group.append(group)
            self.start.append(span[0])
            self.end.append(span[1])
            self.part_line.append(number)

    def _keys(
        self, number: int, contig: str, attributes: str, style: Style
    ) -> list[tuple[tuple, str | None]]:
        """What a part belongs to, each with its parent."""
        if style is Gtf:
            transcript = Gtf.value(attributes, "transcript_id")
            if transcript is None:
                raise InputError("no transcript_id (splice: true joins the features that share it)")
            # NCBI gives many genes the transcript unknown_transcript_1.
            return [((Gtf.value(attributes, "gene_id"), transcript), None)]
        own = Gff3.value(attributes, "ID")
        parents = Gff3.parents(attributes)
        if not parents:
            return [((contig, own) if own else (number,), None)]
        return [((each, own) if self.by_id else (each,), each) for each in parents]

    def _check_place(self, group: int, number: int, contig: str, strand: str) -> None:
        for what, here, there in (
            ("contigs", contig, self.contig[group]),
            ("strands", strand, self.strand[group]),
        ):
            if here != there:
                raise InputError(
                    f"transcript '{self._label(group)}' is on two {what}, '{shown(here or '.')}' "
                    f"and '{shown(there or '.')}' (line {self.line[group]})"
                )

    def _label(self, group: int) -> str:
        return shown(self.parent[group] or self.name[group] or f"of line {self.line[group]}")

    def finish(self, lists: RegionLists, circular: dict[str, int]) -> None:
        """Add the transcripts to the regions of the file.

        Parameters
        ----------
        lists : RegionLists
        circular : dict
            Bases of the records that the file says are circular.

        Raises
        ------
        InputError
            If a parent is not in the file, or parts overlap.
        """
        import numpy as np

        self._name_by_parents()
        group = self._merged(np.array(self.group, np.int64))
        start, end, line = (np.array(c, np.int64) for c in (self.start, self.end, self.part_line))
        order = np.lexsort((start, group))
        group, start, end, line = (column[order] for column in (group, start, end, line))
        self._check_overlaps(group, start, end, line)
        firsts = np.flatnonzero(np.diff(group, prepend=-1))
        parts = zip(firsts.tolist(), [*firsts[1:].tolist(), len(group)], strict=True)
        for first, stop in parts:
            owner = int(group[first])
            spans = list(zip(start[first:stop].tolist(), end[first:stop].tolist(), strict=True))
            length = circular.get(self.contig[owner])
            if length is not None:
                spans = over_origin(spans, length)
            lists.add(
                self.contig[owner],
                spans[0][0],
                spans[-1][1],
                self.strand[owner],
                self.name[owner],
                self.line[owner],
            )
            lists.set_parts(spans)

    def _name_by_parents(self) -> None:
        for group, parent in enumerate(self.parent):
            if parent is None:
                continue
            if parent not in self.parents:
                raise InputError(
                    f"line {self.line[group]}: Parent '{shown(parent)}' is not the ID of a feature "
                    "in the file"
                )
            self.name[group] = self.parents[parent][0] or self.name[group]

    def _merged(self, group: "np.ndarray") -> "np.ndarray":
        """The group of each part, after the parts of a transcript that have an ID each are one."""
        import numpy as np

        counts = np.bincount(group).tolist()
        same: dict[str, list[int]] = {}
        for owner, parent in enumerate(self.parent if self.by_id else ()):
            if parent is not None and not self.parents[parent][1]:
                same.setdefault(parent, []).append(owner)
        becomes = np.arange(len(counts))
        for owners in same.values():
            if len(owners) > 1 and all(counts[owner] == 1 for owner in owners):
                for owner in owners[1:]:
                    line, contig = self.line[owner], self.contig[owner]
                    try:
                        self._check_place(owners[0], line, contig, self.strand[owner])
                    except InputError as error:
                        raise InputError(f"line {line}: {error}") from None
                becomes[owners] = owners[0]
        return becomes[group]

    def _check_overlaps(
        self, group: "np.ndarray", start: "np.ndarray", end: "np.ndarray", line: "np.ndarray"
    ) -> None:
        overlap = (group[1:] == group[:-1]) & (start[1:] < end[:-1])
        for row in overlap.nonzero()[0][:1] + 1:
            raise InputError(
                f"line {line[row]}: overlaps line {line[row - 1]}, which is a part of the same "
                f"transcript '{self._label(int(group[row]))}'"
            )


def over_origin(spans: list[tuple[int, int]], length: int) -> list[tuple[int, int]]:
    """The parts of a transcript of a circular record, which may lie over its origin.

    If one ends at the record's end and another begins at its start, those before the largest gap
    follow on the others, and these two are one exon.
    """
    if len(spans) < 2 or spans[0][0] != 0 or spans[-1][1] != length:
        return spans
    gaps = [after[0] - before[1] for before, after in zip(spans, spans[1:], strict=False)]
    cut = gaps.index(max(gaps)) + 1
    (_, joined), *behind = [(start + length, end + length) for start, end in spans[:cut]]
    return [*spans[cut:-1], (spans[-1][0], joined), *behind]
