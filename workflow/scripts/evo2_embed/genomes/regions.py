"""Regions of genomes from BED files."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from evo2_embed.io.errors import InputError
from evo2_embed.io.text import numbered_lines, shown, whole_number

MOST_BASES = 10**12  # no contig has a larger position

_NO_REGIONS = "no regions in this BED file"

# Contig, start, end, name, and strand; None for a name or a strand that the line does not have.
BedRow = tuple[str, int, int, str | None, str | None]


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
    regions: dict[str, list[Region]] = {}
    for number, (contig, *region) in _rows(path):
        regions.setdefault(contig, []).append(Region(*region, number))
    if not regions:
        raise InputError(f"{path}: {_NO_REGIONS}")
    return regions


def region_faults(path: str) -> list[str]:
    """The first fault of a BED file, in one line; empty if there is none. Takes about two seconds
    per million regions, and little memory."""
    try:
        bases = region_bases(path)
    except InputError as error:
        return [str(error)]
    return [] if bases else [f"{path}: {_NO_REGIONS}"]


def region_bases(path: str) -> int:
    """Bases of all regions of a BED file; bases in two regions count twice.

    Raises
    ------
    InputError
        If a line is not BED, with the file and the line.
    """
    state = os.stat(path)
    return _bases(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=4096)
def _bases(path: str, *state: int) -> int:
    # Once per version of a file: a run first checks it, then plans with it.
    return sum(end - start for _, (_, start, end, *_) in _rows(path))


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
