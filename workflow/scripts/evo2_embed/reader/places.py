"""Regions, as text or as numbers."""

import re
from dataclasses import dataclass

from evo2_embed.io.errors import InputError
from evo2_embed.io.text import shown

_TEXT = re.compile(r"(?P<contig>.+):(?P<first>[\d,]+)-(?P<last>[\d,]*)")
_END = 1 << 62


@dataclass(frozen=True)
class Place:
    """Bases [start, end) of a contig, 0-based and half-open as in the dataset."""

    contig: str
    start: int = 0
    end: int = _END

    @staticmethod
    def read(region: str | tuple, contigs: set[str]) -> "Place":
        """A region from text or from numbers.

        Parameters
        ----------
        region : str or tuple
            `chr1:1,001-2,000` as in samtools, IGV and GenBank: positions from 1, both ends
            included, commas allowed. `chr1:1001-` goes to the end, `chr1` is the whole contig. Or
            (contig, start, end), 0-based and half-open, as in the dataset and in BED.
        contigs : set of str
            Contigs that there are. A name may have colons.

        Raises
        ------
        InputError
            If it is neither, or has no base.
        """
        if isinstance(region, str):
            return Place._of_text(region, contigs)
        try:
            contig, start, end = region
            place = Place(str(contig), int(start), int(end))
        except (TypeError, ValueError):
            raise InputError(
                f"region {shown(region)}: neither text such as 'chr1:1,001-2,000' nor "
                "(contig, start, end)"
            ) from None
        return place._checked(region)

    @staticmethod
    def _of_text(text: str, contigs: set[str]) -> "Place":
        if text in contigs:
            return Place(text)
        match = _TEXT.fullmatch(text.strip())
        if match is None:
            if ":" in text and text.rpartition(":")[0] in contigs:
                raise InputError(
                    f"region '{shown(text)}': write both ends, such as 'chr1:1,001-2,000'; one "
                    "base is 'chr1:1,001-1,001', all from it on 'chr1:1,001-'"
                )
            return Place(text)
        first, last = (match[name].replace(",", "") for name in ("first", "last"))
        if not first:
            raise InputError(f"region '{shown(text)}': the first position is not a number")
        return Place(match["contig"], int(first) - 1, int(last) if last else _END)._checked(text)

    def _checked(self, region: str | tuple) -> "Place":
        if 0 <= self.start < self.end:
            return self
        allowed = (
            "positions count from 1, and the last is not before the first"
            if isinstance(region, str)
            else "start is 0 at least, and end after start"
        )
        raise InputError(f"region {shown(region)}: has no base ({allowed})")

    def spans(self, circular: int | None) -> list[tuple[int, int]]:
        """The intervals in which rows have bases of the region.

        Parameters
        ----------
        circular : int, optional
            Bases of the contig if it is circular. Rows over the origin have an `end` past it, and
            rows after the origin begin near 0.

        Raises
        ------
        InputError
            If the region is not within one round of the contig.
        """
        if circular is None or self.end == _END:
            return [(self.start, self.end)]
        if self.start >= circular or self.end - self.start > circular:
            raise InputError(
                f"region: starts at base {self.start + 1:,} and has {self.end - self.start:,} "
                f"bases; the circular contig has {circular:,} (circular={circular})"
            )
        turns = (-circular, 0, circular)
        return [(self.start + turn, self.end + turn) for turn in turns]
