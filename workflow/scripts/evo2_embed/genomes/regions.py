"""Regions of genomes from BED files."""

from dataclasses import dataclass
from pathlib import Path

from evo2_embed.io.errors import InputError


@dataclass(frozen=True)
class Region:
    """A line of a BED file: 0-based, half-open; `strand` is None if the line has none."""

    start: int
    end: int
    name: str | None
    strand: str | None
    line: int


def read_regions(path: str) -> dict[str, list[Region]]:
    """Read a BED file: contig, start, end and, if given, name and strand (columns 4 and 6).

    Returns
    -------
    dict
        Regions by contig, in the order of the file.

    Raises
    ------
    InputError
        If a line is not BED, with the file and the line; if there are no regions.
    """
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path}: not a text file (wanted: an uncompressed BED file)") from None
    regions: dict[str, list[Region]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        try:
            parsed = parse_bed(line, number)
        except InputError as error:
            raise InputError(f"{path}: line {number}: {error}") from None
        if parsed:
            regions.setdefault(parsed[0], []).append(parsed[1])
    if not regions:
        raise InputError(f"{path}: no regions in this BED file")
    return regions


def parse_bed(line: str, number: int) -> tuple[str, Region] | None:
    """Contig and region of a line of a BED file; None for a comment or an empty line.

    Raises
    ------
    InputError
        If the line is not BED.
    """
    if not line.strip() or line.startswith(("#", "track", "browser")):
        return None
    cells = line.split("\t") if "\t" in line else line.split()
    try:
        start, end = int(cells[1]), int(cells[2])
    except (IndexError, ValueError):
        raise InputError("not BED (wanted: contig, start and end, separated by tabs)") from None
    if not 0 <= start < end:
        raise InputError(f"start {start} and end {end} (wanted: 0 <= start < end)")
    strand = cells[5].strip() if len(cells) > 5 else "."
    if strand not in ("+", "-", "."):
        raise InputError(f"strand '{strand}' (allowed: + - .)")
    name = cells[3] if len(cells) > 3 and cells[3] not in ("", ".") else None
    return cells[0], Region(start, end, name, None if strand == "." else strand, number)
