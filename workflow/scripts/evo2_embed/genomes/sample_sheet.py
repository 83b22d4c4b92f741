"""The sheet of genomes: its rows and their errors."""

import codecs
import csv
import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from evo2_embed.io.remote import copy_path
from evo2_embed.io.text import NAME, is_printable, shown

COLUMNS = ("genome", "fasta", "regions", "circular", "variants")
# Columns of results/genomes.parquet that further columns of the sheet must not replace.
RESERVED = ("contigs", "bases", "windows", "tokens", "skipped", "reason")
NAME_PATTERN = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
_FILE_URL = re.compile(r"file:(?://(?:localhost)?)?(/.*)", re.IGNORECASE)


@dataclass(frozen=True)
class Genome:
    """A row of the sheet. `circular` is `all`, or the names of the circular records. `scan` says
    whether each base of the regions is changed (`variants.scan`), `fault` why a run leaves the
    genome out. `columns` has the cells of further columns, by name. `full_names`
    says whether names of its records are whole lines (`record_names`)."""

    name: str
    fasta: str
    regions: str | None = None
    circular: str | tuple[str, ...] | None = None
    variants: str | None = None
    scan: bool = False
    full_names: bool = False
    fault: str | None = None
    columns: tuple[tuple[str, str], ...] = ()

    def __post_init__(self):
        object.__setattr__(self, "columns", tuple(map(tuple, self.columns)))
        if isinstance(self.circular, list):  # as YAML and parameters of rules have it
            object.__setattr__(self, "circular", tuple(self.circular))

    def is_circular(self, contig: str) -> bool:
        """Whether a record is circular."""
        return self.circular == "all" or contig in (self.circular or ())

    @property
    def files(self) -> list[str]:
        """Its FASTA file, and its file of regions or variants."""
        return [file for file in (self.fasta, self.regions, self.variants) if file]

    @property
    def has_variants(self) -> bool:
        """Whether its windows are those of variants, from a file or of a scan."""
        return bool(self.variants or self.scan)

    @property
    def row(self) -> list:
        """The genome as parameter of a rule. Without regions nothing depends on `circular`."""
        row = [self.name, self.fasta, self.regions]
        circular = self.circular if isinstance(self.circular, str) else list(self.circular or ())
        if self.full_names:
            around = circular or None if self.regions else None
            return [*row, around, self.variants, self.scan, True]
        if self.variants:
            return [*row, None, self.variants]
        if self.scan:
            return [*row, circular or None, None, True]
        return [*row, circular] if self.regions and circular else row


def read_sheet(path: str, full_names: bool = False) -> tuple[list[Genome], list[str]]:
    """Read the sheet (tab-separated; columns genome, fasta and, if wanted, the others). With
    `full_names`, names of records are whole lines.

    Returns
    -------
    genomes, faults
        The readable rows in order, and one line per error.
    """
    try:
        content = Path(path).read_bytes()
        if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
            return [], [f"{path}: the sheet is UTF-16 text (allowed: UTF-8, separated by tabs)"]
        text = content.decode("utf-8-sig")
    except (OSError, ValueError) as error:
        return [], [f"{path}: cannot be read as a sheet ({reason_of(error)})"]
    lines = text.splitlines()
    rows = [
        (i, row)
        for i, row in enumerate(csv.reader(lines, delimiter="\t", quoting=csv.QUOTE_NONE), 1)
        if any(cell.strip() for cell in row) and not row[0].lstrip().startswith("#")
    ]
    if not rows:
        return [], [f"{path}: the sheet is empty (wanted: a header line 'genome<TAB>fasta')"]
    header = [cell.strip() for cell in rows[0][1]]
    faults = _header_faults(path, header)
    if faults:
        return [], faults
    if len(rows) == 1:
        return [], [f"{path}: no genomes below the header line"]
    genomes = []
    for line, row in rows[1:]:
        cells = dict(zip(header, (cell.strip() for cell in row), strict=False))
        genome = Genome(
            cells.get("genome", ""),
            copy_path(_path(cells.get("fasta", ""))),
            copy_path(_path(cells.get("regions", "")), early=True) or None,
            _circular(cells.get("circular", ""), full_names),
            copy_path(_path(cells.get("variants", "")), early=True) or None,
            full_names=full_names,
            columns=tuple((name, cells.get(name, "")) for name in header if name not in COLUMNS),
        )
        faults += [f"{path}: line {line}: {fault}" for fault in _row_faults(genome, row, header)]
        genomes.append(genome)
    return genomes, faults


def _path(cell: str) -> str:
    """A path as it is opened: `~` is the home folder, and `file://` is left off."""
    local = _FILE_URL.fullmatch(cell)
    return os.path.expanduser(unquote(local[1]) if local else cell)


def _circular(cell: str, full_names: bool) -> str | tuple[str, ...] | None:
    """`all` for true, None for false; else the names of records."""
    words = {"true": "all", "false": None, "": None}
    if cell.lower() in words:
        return words[cell.lower()]
    names = cell.split(",") if full_names else re.split(r"[,\s]+", cell)
    return tuple(name.strip() for name in names if name.strip())


def _header_faults(path: str, header: list[str]) -> list[str]:
    faults = [
        f"{path}: column '{shown(name)}': {fault}"
        for name in header
        if name not in COLUMNS and (fault := _name_fault(name))
    ]
    faults += [
        f"{path}: column '{name}' is missing (columns are separated by tabs)"
        for name in COLUMNS[:2]
        if name not in header
    ]
    faults += [f"{path}: column '{n}' occurs twice" for n in set(header) if header.count(n) > 1]
    return faults


def _name_fault(name: str) -> str | None:
    """What is wrong with the name of a further column."""
    if not name:
        return "a column needs a name"
    if name.lower() in COLUMNS:
        return f"did you mean '{name.lower()}'?"
    if name in RESERVED:
        return f"the name is one of results/genomes.parquet ({', '.join(RESERVED)}); rename it"
    if len(name) > NAME or not is_printable(name):
        return f"a name has at most {NAME} characters, and no control characters"
    return None


def _row_faults(genome: Genome, row: list[str], header: list[str]) -> list[str]:
    faults = []
    if len(row) > len(header):
        faults.append(f"{len(row)} cells under {len(header)} columns")
    if not re.fullmatch(NAME_PATTERN, genome.name):
        faults.append(
            f"genome '{shown(genome.name)}': a name has letters, digits, '.', '_' and '-', starts "
            "with a letter or digit, and is at most 100 characters long (it becomes a file name)"
        )
    if not genome.fasta:
        faults.append(f"genome '{shown(genome.name)}': no fasta given")
    if genome.regions and genome.variants:
        faults.append(
            f"genome '{shown(genome.name)}': regions and variants (allowed: one of them; list the "
            "genome twice, by two names, for both)"
        )
    return faults


def twin_faults(path: str, genomes: list[Genome]) -> list[str | None]:
    """Per genome, what is wrong if one before it has the same name, else None."""
    seen: dict[str, str] = {}
    faults: list[str | None] = []
    for genome in genomes:
        # Some file systems do not distinguish 'ecoli' and 'Ecoli'.
        key = genome.name.lower()
        names = f"'{shown(genome.name)}' occurs twice (first as '{shown(seen.get(key))}')"
        faults.append(f"{path}: genome {names}" if key in seen else None)
        seen.setdefault(key, genome.name)
    return faults


def reason_of(error: Exception) -> str:
    """Why a file cannot be read, as the system says it."""
    return getattr(error, "strerror", None) or str(error)
