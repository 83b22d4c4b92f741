"""Lines of BED and GFF files: what a line says, and what is wrong with it."""

from evo2_embed.io.errors import InputError
from evo2_embed.io.text import shown, whole_number

MOST_BASES = 10**12  # no contig has a larger position

# Contig, start, end, name, and strand; None for a name or a strand that the line does not have.
BedRow = tuple[str, int, int, str | None, str | None]

# A blank behind the word: a contig may be named track, or track1.
_NO_REGION = ("#", "track ", "browser ")


def has_region(line: str) -> bool:
    """Whether a line of a BED file is neither empty nor a comment nor for a browser."""
    return not line.startswith(_NO_REGION) and bool(line.strip())


def bed_cells(line: str) -> list[str]:
    """The cells of a line of a BED file: separated by tabs, or else by blanks."""
    return line.split("\t") if "\t" in line else line.split()


def parse_bed(line: str, clip: bool = False) -> BedRow | None:
    """The content of a line of a BED file; None for a comment or an empty line. With `clip`, bases
    before the start of the contig are left out.

    Raises
    ------
    InputError
        If the line is not BED.
    """
    if not has_region(line):
        return None
    cells = bed_cells(line)
    try:
        start, end = whole_number(cells[1]), whole_number(cells[2])
    except (IndexError, ValueError):
        raise InputError("not BED (wanted: contig, start and end, separated by tabs)") from None
    start, end = clipped(start, end, clip)
    strand = strand_of(cells[5].strip()) if len(cells) > 5 else ""
    name = cells[3] if len(cells) > 3 and cells[3] not in ("", ".") else None
    return cells[0], start, end, name, strand or None


def feature_cells(line: str) -> list[str]:
    """The nine cells of a line of a GFF3 or GTF file, without checks of their values.

    Raises
    ------
    InputError
        If there are fewer than eight: some programs leave out the last, the attributes.
    """
    cells = line.split("\t", 8)
    if len(cells) < 8:
        raise InputError(f"{len(cells)} columns (expected: 9, separated by tabs)")
    return cells if len(cells) == 9 else [*cells, ""]


def feature_span(cells: list[str]) -> tuple[int, int]:
    """Start and end of a feature, 0-based and half-open; in the file, they count from 1 and both
    are included.

    Raises
    ------
    InputError
        If they are not whole numbers, or not 1 <= start <= end.
    """
    start, end = whole_ends(cells[3], cells[4])
    if not 1 <= start <= end:
        over = (
            "; the end of a feature over the origin is past the record's length"
            if 1 <= end < start
            else ""
        )
        raise InputError(f"start {start} and end {end} (expected: 1 <= start <= end{over})")
    return start - 1, end


def whole_ends(start: str, end: str) -> tuple[int, int]:
    """Two cells as whole numbers.

    Raises
    ------
    InputError
        If they are something else, or the end is larger than any contig.
    """
    try:
        first, last = whole_number(start), whole_number(end)
    except ValueError:
        raise InputError(
            f"start '{shown(start)}' and end '{shown(end)}' (expected: whole numbers)"
        ) from None
    if last > MOST_BASES:
        raise InputError(f"end {last} (allowed: at most {MOST_BASES})")
    return first, last


def clipped(start: int, end: int, clip: bool) -> tuple[int, int]:
    """A 0-based, half-open interval, with `clip` without the bases before the contig's start.

    Raises
    ------
    InputError
        If it is empty, negative, or larger than any contig.
    """
    first = max(start, 0) if clip else start
    if not 0 <= first < end:
        raise InputError(f"start {start} and end {end} (wanted: 0 <= start < end)")
    if end > MOST_BASES:
        raise InputError(f"end {end} (allowed: at most {MOST_BASES})")
    return first, end


def strand_of(cell: str) -> str:
    """`+`, `-`, or an empty text for a cell that gives no strand.

    Raises
    ------
    InputError
        If it is something else.
    """
    if cell not in ("+", "-", "."):
        raise InputError(f"strand '{shown(cell)}' (allowed: + - .)")
    return "" if cell == "." else cell
