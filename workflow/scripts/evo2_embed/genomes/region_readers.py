"""Lines of files to regions: a reader per format, which takes line after line."""

import difflib
from collections import Counter

from evo2_embed.genomes.attributes import Gff3, Style, first_value, style_of
from evo2_embed.genomes.intervals import (
    bed_cells,
    clipped,
    feature_cells,
    feature_span,
    has_region,
    parse_bed,
    strand_of,
    whole_ends,
)
from evo2_embed.genomes.region_lists import RegionLists
from evo2_embed.genomes.splice import Transcripts
from evo2_embed.io.errors import InputError
from evo2_embed.io.text import shown, some_of, whole_number
from evo2_embed.settings.windows import RegionSettings

TSV_COLUMNS = ("contig", "start", "end")
_OPTIONAL = ("strand", "name")
_PARTLESS = "splice: true needs exons (allowed: GFF3, GTF, or BED with 12 columns)"


class BedReader:
    """BED: column 4 is the name, 6 the strand; with `splice`, 10 to 12 are the blocks."""

    def __init__(self, settings: RegionSettings):
        self.lists, self.splice = RegionLists(), settings.splice
        self.clip = settings.off_contig == "clip"

    def take(self, number: int, line: str) -> bool:
        """Read a line; False if no line after it counts."""
        row = parse_bed(line, self.clip)
        if row:
            contig, start, end, name, strand = row
            self.lists.add(contig, start, end, strand or "", name, number)
            if self.splice:
                self.lists.set_parts(_blocks(bed_cells(line), start, end))
        return True

    def finish(self) -> RegionLists:
        """The regions, after the last line."""
        return self.lists


class TsvReader:
    """TSV: a header line with contig, start and end (0-based, half-open), then one region per line.
    The columns strand and name may be there, and others, which are not read."""

    def __init__(self, settings: RegionSettings):
        self.lists, self.splice = RegionLists(), settings.splice
        self.clip = settings.off_contig == "clip"
        self.columns: dict[str, int] = {}
        self.width = 0

    def take(self, number: int, line: str) -> bool:
        """Read a line; False if no line after it counts."""
        if line.startswith("#") or not line.strip():
            return True
        cells = [cell.strip() for cell in line.split("\t")]
        if not self.columns:
            self._take_header(cells)
            return True
        if len(cells) != self.width:
            raise InputError(f"{len(cells)} cells under {self.width} columns")
        row = {name: cells[place] for name, place in self.columns.items()}
        start, end = clipped(*whole_ends(row["start"], row["end"]), self.clip)
        strand, name = strand_of(row.get("strand") or "."), row.get("name", ".")
        self.lists.add(
            row["contig"], start, end, strand, None if name in ("", ".") else name, number
        )
        return True

    def _take_header(self, cells: list[str]) -> None:
        wanted = "wanted: contig, start (0-based) and end, and if there are any, strand and name"
        if self.splice:
            raise InputError(_PARTLESS)
        missing = [name for name in TSV_COLUMNS if name not in cells]
        if missing:
            raise InputError(f"column '{missing[0]}' is missing ({wanted}; separated by tabs)")
        twice = [name for name in (*TSV_COLUMNS, *_OPTIONAL) if cells.count(name) > 1]
        if twice:
            raise InputError(f"column '{twice[0]}' is there twice")
        for name in _OPTIONAL:
            others = {cell.lower(): cell for cell in cells}
            close = difflib.get_close_matches(name, others, 1, 0.8)
            if name not in cells and close:
                other = shown(others[close[0]])
                raise InputError(f"column '{other}': rename it to '{name}', or else remove it")
        known = (*TSV_COLUMNS, *_OPTIONAL)
        self.columns = {name: cells.index(name) for name in known if name in cells}
        self.width = len(cells)

    def finish(self) -> RegionLists:
        """The regions, after the last line."""
        return self.lists


class FeatureReader:
    """GFF3 and GTF: features of some types, or transcripts joined from them."""

    def __init__(self, settings: RegionSettings):
        default = ["exon"] if settings.splice else ["gene"]
        self.features = frozenset(settings.features or default)
        self.names = tuple(settings.name or ())
        self.lists, self.seen = RegionLists(), Counter()
        self.transcripts: Transcripts | None = None
        if settings.splice:
            self.transcripts = Transcripts(self.names, by_id=self.features == {"CDS"})
        self.style: Style | None = None
        self.circular: dict[str, int] = {}
        # Features that end at the end of their circular record, or begin at its start, by ID.
        self.lasts: dict[tuple[str, str], int] = {}
        self.firsts: dict[tuple[str, str], int] = {}

    def take(self, number: int, line: str) -> bool:
        """Read a line; False if no line after it counts."""
        if line.startswith(("##FASTA", ">")):
            return False
        if not has_region(line):
            return True
        cells = feature_cells(line)
        kind, attributes = cells[2], cells[8]
        self.seen[kind] += 1
        if self.style is None:
            self.style = style_of(attributes)
        if kind in self.features:
            self._add(number, cells)
        elif self.transcripts:
            self.transcripts.add_other(kind, attributes, self.style or Gff3)
        if cells[3] == "1" and "Is_circular=true" in attributes:
            self.circular[Gff3.text(cells[0])] = feature_span(cells)[1]
        return True

    def _add(self, number: int, cells: list[str]) -> None:
        start, end = feature_span(cells)
        strand = "" if cells[6] == "?" else strand_of(cells[6])
        attributes, style = cells[8], self.style or Gff3
        contig = style.text(cells[0])
        if self.transcripts:
            self.transcripts.add(number, contig, (start, end), strand, attributes, style)
            return
        name = first_value(style, attributes, self.names or style.usual)
        length, own = self.circular.get(contig), style.value(attributes, "ID")
        if length and own and (start == 0) != (end == length):
            touching = self.firsts if start == 0 else self.lasts
            touching.setdefault((contig, own), len(self.lists.start))
        self.lists.add(contig, start, end, strand, name, number)

    def finish(self) -> RegionLists:
        """The regions, after the last line.

        Raises
        ------
        InputError
            If there are none, or their parts cannot be joined.
        """
        if not any(kind in self.features for kind in self.seen):
            wanted = " or ".join(f"'{shown(name)}'" for name in sorted(self.features))
            there = some_of([f"{kind} ({n:,})" for kind, n in self.seen.most_common()]) or "none"
            raise InputError(f"no feature {wanted} (set regions.features; in the file: {there})")
        if self.transcripts:
            self.transcripts.finish(self.lists, self.circular)
        for key in self.firsts.keys() & self.lasts.keys():
            self.lists.join_over_origin(self.lasts[key], self.firsts[key])
        return self.lists


def _blocks(cells: list[str], start: int, end: int) -> list[tuple[int, int]]:
    """The blocks of a line of a BED file with 12 columns."""
    if len(cells) < 12:
        raise InputError(f"{len(cells)} columns; {_PARTLESS}")
    try:
        number = whole_number(cells[9])
        sizes, starts = (
            [whole_number(cell) for cell in cells[place].rstrip(",").split(",")]
            for place in (10, 11)
        )
    except ValueError:
        raise InputError(
            "columns 10 to 12 are not blocks (wanted: number, sizes, starts)"
        ) from None
    if not number == len(sizes) == len(starts):
        raise InputError(
            f"{number} blocks, but {len(sizes)} sizes and {len(starts)} starts (columns 10 to 12)"
        )
    blocks = [(start + at, start + at + size) for at, size in zip(starts, sizes, strict=True)]
    edges = [edge for block in blocks for edge in block]
    if min(sizes) < 1 or edges != sorted(edges):
        raise InputError("blocks are empty, overlap or are not in order (columns 10 to 12)")
    if (edges[0], edges[-1]) != (start, end):
        raise InputError("blocks do not begin at the region's start and end at its end")
    return blocks
