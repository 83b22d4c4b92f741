"""The format of a file of regions, by its content, and its lines."""

import gzip
import re
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from typing import BinaryIO, TextIO

from evo2_embed.genomes.intervals import bed_cells, has_region
from evo2_embed.genomes.region_readers import BedReader, FeatureReader, TsvReader
from evo2_embed.io.errors import InputError
from evo2_embed.io.text import shown

Reader = BedReader | FeatureReader | TsvReader

ALLOWED = (
    "allowed: BED, GFF3, GTF, or TSV with a header line contig, start, end; plain text or gzip"
)
DAMAGED = (EOFError, zlib.error, gzip.BadGzipFile)

_GZIP = b"\x1f\x8b"
_ALIGNMENTS = "`bedtools bamtobed` makes a BED file of alignments"
_UNPACK = "unpack it, or compress it with gzip"
_VCF = (
    "VCF",
    "its place is the column variants; for BED: bcftools query -f '%CHROM\\t%POS0\\t%END\\t%ID\\n'",
)
# First bytes of formats that are not text; behind gzip for those of samtools.
_BYTES = {
    b"BAM\1": ("BAM", _ALIGNMENTS),
    b"CRAM\2": ("CRAM", _ALIGNMENTS),
    b"CRAM\3": ("CRAM", _ALIGNMENTS),
    b"BCF\2": ("BCF", _VCF[1]),
    b"\xeb\xf2\x89\x87": ("BigBed", "bigBedToBed makes a BED file of it"),
    b"\x87\x89\xf2\xeb": ("BigBed", "bigBedToBed makes a BED file of it"),
    b"\x26\xfc\x8f\x88": ("bigWig", "bigWigToBedGraph makes a BED file of it"),
    b"\x88\x8f\xfc\x26": ("bigWig", "bigWigToBedGraph makes a BED file of it"),
    b"PK\3\4": ("Excel or ZIP", "save the table as text, separated by tabs"),
    b"\xd0\xcf\x11\xe0": ("Excel", "save the table as text, separated by tabs"),
    b"PAR1\x15": ("Parquet", "write the table as text, separated by tabs"),
    b"\xff\xfe": ("UTF-16 text", "save it as UTF-8"),
    b"\xfe\xff": ("UTF-16 text", "save it as UTF-8"),
    b"\xfd7zXZ": ("xz", _UNPACK),
    b"\x28\xb5\x2f\xfd": ("Zstandard", _UNPACK),
}
_BZIP2 = re.compile(rb"BZh[1-9]1AY&SY")
_SAM = "SAM", _ALIGNMENTS
# The first line of formats that are text.
_LINES = (
    (
        re.compile(
            r"##fileformat=VCF|#CHROM\tPOS\t|\S+\t\d+\t\S+\t[ACGTNacgtn]+\t[ACGTN.,*<]\S*\t\S+\t\S+\t"
        ),
        *_VCF,
    ),
    (re.compile(r"@(HD|SQ|RG|PG|CO)\t"), "SAM or an interval list of Picard", _ALIGNMENTS),
    (re.compile(r"[^\t]+\t\d+\t[^\t]+\t\d+\t\d+\t(\d+[MIDNSHP=X])+\t"), *_SAM),
    (re.compile(r">"), "FASTA", "it belongs in the column fasta"),
    (re.compile(r"LOCUS {2,}"), "GenBank", "download the record as GFF3, or convert it"),
    (re.compile(r"ID {3}\S"), "EMBL", "download the record as GFF3, or convert it"),
    (re.compile(r"(variable|fixed)Step "), "wiggle", "for BED: wig2bed of BEDOPS"),
    (re.compile(r"\s*[{\[]"), "JSON", "write the regions as a table"),
    (re.compile(r"\s*<"), "HTML or XML", "the download may have failed: look at the file"),
)


@contextmanager
def open_lines(path: str) -> Iterator[TextIO]:
    """The lines of a file that is text, plain or gzip.

    Raises
    ------
    InputError
        If the file is not text, with the name of its format if that is known.
    """
    with open(path, "rb") as plain:
        if plain.peek(2)[:2] != _GZIP:
            yield _text(plain)
            return
        with gzip.open(plain) as unpacked:
            yield _text(unpacked)


def _text(handle: BinaryIO) -> TextIO:
    head = handle.peek(4096)[:4096]
    for start, (form, advice) in _BYTES.items():
        if head.startswith(start):
            raise refusal(form, advice)
    if _BZIP2.match(head):
        raise refusal("bzip2", _UNPACK)
    if b"\0" in head:
        raise InputError(f"not a text file ({ALLOWED})")
    return TextIOWrapper(handle, encoding="utf-8-sig")


def refusal(form: str, advice: str) -> InputError:
    """The error for a file of a format that has no regions, or not as text."""
    return InputError(f"the file is {form} ({advice}; {ALLOWED})")


def reader_of(line: str) -> type[Reader] | None:
    """The reader for a file by one of its first lines; None for a line that does not tell.

    Raises
    ------
    InputError
        If the line is of another format, or of none that is known.
    """
    for pattern, form, advice in _LINES:
        if pattern.match(line):
            raise refusal(form, advice)
    if line.startswith("##gff-version"):
        return FeatureReader
    if not has_region(line):
        return None
    cells = bed_cells(line)
    if {"start", "end"} <= {cell.strip().lower() for cell in cells}:
        if "\t" not in line:
            raise InputError("a header line whose columns are not separated by tabs")
        return TsvReader
    if {"start", "end"} <= {cell.strip(' "').lower() for cell in line.split(",")}:
        raise refusal("CSV", "separate the columns by tabs")
    if len(cells) > 2 and cells[1].strip().isdecimal() and _is_number(cells[2]):
        return BedReader
    if len(cells) > 7 and _is_number(cells[3]) and _is_number(cells[4]):
        return FeatureReader
    if len(cells) > 2 and (_is_number(cells[1]) or _is_number(cells[2])):
        return BedReader  # it says what is wrong with the line
    raise InputError(f"'{shown(line)}': the format is not known ({ALLOWED})")


def _is_number(cell: str) -> bool:
    return cell.strip().removeprefix("-").isdecimal()
