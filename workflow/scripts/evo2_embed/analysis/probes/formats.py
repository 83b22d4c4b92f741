"""Lines of BED, GFF3 and TSV files -> labelled intervals. Light, like `labels`."""

import math
import sys
from collections import Counter
from dataclasses import dataclass, field
from urllib.parse import unquote

from evo2_embed.genomes.intervals import (
    feature_cells,
    feature_span,
    parse_bed,
    strand_of,
    whole_ends,
)
from evo2_embed.io.errors import InputError
from evo2_embed.io.text import shown, some_of

INSIDE = "inside"  # label of a BED interval without a name
BACKGROUND = "background"  # label of rows without intervals
MOST_LABELS = 100
TSV_COLUMNS = ("genome", "contig", "start", "end")


@dataclass
class Labels:
    """Labelled intervals, one list per column: 0-based, half-open, `strand` one of + - .

    Attributes
    ----------
    kind : {"class", "number"}
        Whether the values are labels or numbers.
    background : bool
        Whether rows without intervals get the label `background`.
    genome : list of str
        Empty if the format has no genomes.
    """

    kind: str = "class"
    background: bool = True
    genome: list[str] = field(default_factory=list)
    contig: list[str] = field(default_factory=list)
    start: list[int] = field(default_factory=list)
    end: list[int] = field(default_factory=list)
    strand: list[str] = field(default_factory=list)
    value: list[str] | list[float] = field(default_factory=list)

    @property
    def n_outputs(self) -> int:
        """Classes that a probe of them can have, or 1 for numbers."""
        return 1 if self.kind == "number" else len(set(self.value)) + self.background

    def add(self, contig: str, start: int, end: int, strand: str, value: str | float) -> None:
        """Add an interval."""
        self.contig.append(sys.intern(contig))
        self.start.append(start)
        self.end.append(end)
        self.strand.append(strand)
        self.value.append(sys.intern(value) if isinstance(value, str) else value)


class BedReader:
    """BED: column 4 is the label, column 6 the strand."""

    hopeless = False

    def __init__(self, feature: None):
        self.labels = Labels()

    def take(self, line: str) -> bool:
        """Read a line; False if no line after it counts."""
        parsed = parse_bed(line)
        if parsed:
            contig, start, end, name, strand = parsed
            label = (name or INSIDE).strip()
            if label == BACKGROUND:
                raise InputError(
                    f"'{BACKGROUND}' is the label of rows without intervals; rename it"
                )
            self.labels.add(contig, start, end, strand or ".", label)
        return True

    def faults(self) -> list[str]:
        """Faults of the file as a whole."""
        return _value_faults(self.labels, 1)


class GffReader:
    """GFF3: the lines of one feature type; 1-based, both ends included."""

    hopeless = False

    def __init__(self, feature: str | None):
        self.feature = feature
        self.labels = Labels()
        self.seen: Counter[str] = Counter()

    def take(self, line: str) -> bool:
        """Read a line; False if no line after it counts."""
        if line.startswith("##FASTA") or line.startswith(">"):
            return False
        if not line.strip() or line.startswith("#"):
            return True
        cells = feature_cells(line)
        self.seen[cells[2]] += 1
        if cells[2] != self.feature:
            return True
        start, end = feature_span(cells)
        strand = "" if cells[6] == "?" else strand_of(cells[6])
        self.labels.add(unquote(cells[0]), start, end, strand or ".", self.feature)
        return True

    def faults(self) -> list[str]:
        """Faults of the file as a whole."""
        there = some_of([name for name, _ in self.seen.most_common()]) or "none"
        if self.feature is None:
            return [f"GFF3 needs probe.feature, a feature type (in the file: {there})"]
        if not self.labels.start:
            return [f"no feature '{shown(self.feature)}' (probe.feature; in the file: {there})"]
        return []


class TsvReader:
    """TSV: a header line, then one label or number per line."""

    def __init__(self, feature: None):
        self.labels = Labels(background=False)
        self.header: list[str] | None = None

    @property
    def hopeless(self) -> bool:
        """Whether no line can be read, for lack of a header."""
        return self.header is None

    def take(self, line: str) -> bool:
        """Read a line; False if no line after it counts."""
        if not line.strip() or line.startswith("#"):
            return True
        cells = [cell.strip() for cell in line.split("\t")]
        if self.header is None:
            _check_header(cells)
            self.header = cells
            self.labels.kind = "number" if "number" in cells else "class"
            return True
        if len(cells) != len(self.header):
            raise InputError(f"{len(cells)} cells under {len(self.header)} columns")
        row = dict(zip(self.header, cells, strict=True))
        start, end = whole_ends(row["start"], row["end"])
        if not 0 <= start < end:
            raise InputError(f"start {start} and end {end} (expected: 0 <= start < end)")
        value = _number(row["number"]) if "number" in row else row["label"]
        if value == "":
            raise InputError("no label (leave the line out if the bases have none)")
        self.labels.add(row["contig"], start, end, strand_of(row.get("strand", ".")) or ".", value)
        self.labels.genome.append(sys.intern(row["genome"]))
        return True

    def faults(self) -> list[str]:
        """Faults of the file as a whole."""
        return _value_faults(self.labels, 2)


def _value_faults(labels: Labels, least: int) -> list[str]:
    values = set(labels.value)
    what = f"{labels.kind if labels.kind == 'number' else 'label'}s"
    if not labels.start:
        return ["no intervals in the file"]
    if len(values) < least:
        only = f"'{shown(next(iter(values)))}'" if labels.kind == "class" else next(iter(values))
        return [f"all intervals have {only} (expected: at least {least} different {what})"]
    if labels.kind == "class" and len(values) > MOST_LABELS:
        return [
            f"{len(values):,} different labels (allowed: at most {MOST_LABELS}); if they are "
            "names of intervals, replace them by labels that many intervals share"
        ]
    return []


def _check_header(cells: list[str]) -> None:
    allowed = [*TSV_COLUMNS, "label or number", "strand"]
    known = {*TSV_COLUMNS, "label", "number", "strand"}
    expected = f"expected: a header with {', '.join(allowed[:-1])} and, optionally, strand"
    missing = [name for name in TSV_COLUMNS if name not in cells]
    if missing:
        raise InputError(f"column '{missing[0]}' is missing ({expected}, separated by tabs)")
    unknown = [name for name in cells if name not in known]
    if unknown:
        raise InputError(f"unknown column '{shown(unknown[0])}' ({expected})")
    if ("label" in cells) == ("number" in cells):
        raise InputError(f"label and number: exactly one of these columns is needed ({expected})")
    if len(set(cells)) < len(cells):
        raise InputError(f"a column name is there twice ({expected})")


def _number(cell: str) -> float:
    try:
        value = float(cell) if cell.isascii() and "_" not in cell else math.nan
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(f"'{shown(cell)}' is not a number (expected: a finite number)")
    return value
