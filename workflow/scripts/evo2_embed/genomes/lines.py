"""The layout of FASTA text: whether pyfaidx can index it, and how to rewrite it if not."""

import gzip
import os
import re
import shlex
import struct
import zlib

from evo2_embed.io.errors import InputError

_LINE = 1 << 20  # bytes of a FASTA line handled at once
_LONG = 16 * _LINE  # bytes of a line above which pyfaidx needs much memory
_BOM = b"\xef\xbb\xbf"
_WRAP = 80  # bases per line of a rewritten file
# First bytes of other compressions, and the program that writes the text to its output.
_OTHERS = {
    b"\xfd7zXZ\0": ("xz", "xz -dc"),
    b"BZh": ("bzip2", "bzip2 -dc"),
    b"\x28\xb5\x2f\xfd": ("Zstandard", "zstd -dc"),
    b"PK\3\4": ("ZIP", "unzip -p"),
}
# How other formats begin, where a FASTA file has a line with '>': first bytes, name, what to do.
_FORMATS = (
    (re.compile(rb"@(HD|SQ|RG|PG|CO)\t"), "SAM", "samtools fasta"),
    (re.compile(rb"BAM\x01|CRAM"), "BAM or CRAM", "samtools fasta"),
    (re.compile(rb"@"), "FASTQ", "convert it to FASTA: seqtk seq -A"),
    (re.compile(rb"LOCUS\s"), "GenBank", "download the record as FASTA, or convert it"),
    (re.compile(rb"ID   \S"), "EMBL", "download the record as FASTA, or convert it"),
    (re.compile(rb"##gff-version"), "GFF", "it belongs in the column regions"),
    (re.compile(rb"##fileformat=VCF"), "VCF", "it belongs in the column variants"),
    (re.compile(rb".{257}ustar", re.S), "a tar archive", "extract its files: tar -xf"),
)
_HEAD = 512  # bytes; the header of a tar archive


def other_format(path: str) -> str | None:
    """The format of a file that is no FASTA, plain or gzip, and what to do; None if unknown."""
    try:
        with open(path, "rb") as plain:
            head = plain.read(_HEAD)
        if head.startswith(b"\x1f\x8b"):
            with gzip.open(path) as unpacked:
                head = unpacked.read(_HEAD)
    except (OSError, EOFError, zlib.error):
        return None
    for start, form, advice in _FORMATS:
        if start.match(head.removeprefix(_BOM).lstrip(b"\r\n")):
            return f"it looks like {form}; {advice}"
    return None


def file_kind(path: str) -> str:
    """How a FASTA file is compressed: plain, gzip, or bgzip, which allows random access.

    Raises
    ------
    InputError
        If the name of the file says something else.
    """
    with open(path, "rb") as handle:
        head = handle.read(18)
    named_gzip = path.lower().endswith((".gz", ".bgz"))
    if head[:2] != b"\x1f\x8b":
        for start, (kind, unpack) in _OTHERS.items():
            if head.startswith(start):
                raise InputError(
                    f"{path}: compressed with {kind} (allowed: plain, bgzip or gzip; convert it: "
                    f"{unpack} {shlex.quote(path)} | bgzip > {shlex.quote(_renamed(path))})"
                )
        if named_gzip:
            page = head.lstrip(_BOM + b" \t\r\n")[:1] == b"<"
            what = "it seems to be a web page: download it again" if page else "rename or redo it"
            raise InputError(f"{path}: is named like a gzip file but is not one ({what})")
        return "plain"
    # A bgzip block has the flag FEXTRA and the extra subfield 'BC'. pyfaidx detects it by its
    # suffix, and cannot seek in blocks of the full 65,536 bytes, which bgzip itself does not write.
    if not (named_gzip and head[3] & 4 and head[12:14] == b"BC" and len(head) == 18):
        return "gzip"
    with open(path, "rb") as handle:
        handle.seek(struct.unpack("<H", head[16:18])[0] - 3)
        return "gzip" if handle.read(4) == struct.pack("<I", 1 << 16) else "bgzip"


def _renamed(path: str) -> str:
    """A name for the file of a path, compressed with bgzip."""
    name = os.path.basename(path)
    for suffix in (".xz", ".bz2", ".zst", ".zip"):
        name = name.removesuffix(suffix)
    return f"{name}.gz"


def is_rewritten(path: str) -> bool:
    """Whether a FASTA file is copied before it is read: a gzip file, or too long a first line."""
    try:
        kind = file_kind(path)
        if kind == "gzip":
            return True
        with (gzip.open if kind == "bgzip" else open)(path, "rb") as handle:
            handle.readline(_LONG)
            return len(handle.readline(_LONG)) == _LONG
    except (OSError, EOFError, zlib.error, InputError):
        return False  # a later stage reports it


def is_regular(path: str, opener) -> bool:
    """Whether each record has lines of one length (the last may be shorter), and none is too long.

    pyfaidx checks this, too, but accepts some files and then reads wrong bases: files with a longer
    last line, or with two kinds of line ends.
    """
    first = b""
    ended = True  # at the start, and after a short line, only a header may follow
    with opener(path, "rb") as handle:
        while line := handle.readline(_LONG):
            if len(line) == _LONG or line.startswith(_BOM) or line.find(b"\r", 0, -2) >= 0:
                return False
            if line[:1] == b">":
                first, ended = b"", False
            elif not first:
                if ended:
                    continue  # before the first header: pyfaidx reports the error
                if not line.strip(b"\r\n"):
                    return False
                first, width = line, len(line.rstrip(b"\r\n"))
                crlf = line.endswith(b"\r\n")
            elif (
                ended
                or len(line) != len(first)
                or not line.endswith(b"\n")
                or line.endswith(b"\r\n") != crlf
            ):
                blank_at_end = line == b"\n" and handle.peek(1)[:1] in (b">", b"")
                # A full last line may lack its line end, but must not have a different one.
                letters = len(line.rstrip(b"\r\n")) + line.endswith(b"\n")
                if not blank_at_end and (ended or not 1 < letters <= width):
                    return False
                ended = True
    return True


def rewrap(source, target) -> None:
    """Copy FASTA with lines of `_WRAP` letters; memory does not depend on the length of lines."""
    rest, at_start, in_header, records, number = b"", True, False, 0, 0
    while part := source.readline(_LINE):
        if at_start:
            number += 1
            part = part.removeprefix(b"" if records else _BOM)
            in_header = part[:1] == b">" or (part[:1] == b";" and not records)
            if in_header:
                records += part[:1] == b">"
                target.write(rest + b"\n" if rest else b"")
                rest = b""
                if part[:1] == b">" and not part[1:].split():
                    raise InputError(f"a '>' line without a record name (line {number})")
        at_start = part.endswith(b"\n")
        if records and b"\r" in part.rstrip(b"\r\n"):
            raise InputError("line ends are CR (old Mac); write the file with LF or CR LF")
        if in_header:
            target.write(part[:-2] + b"\n" if part.endswith(b"\r\n") else part)
            continue
        rest += part.rstrip(b"\r\n")
        full = len(rest) // _WRAP * _WRAP
        for start in range(0, full, _WRAP):
            target.write(rest[start : start + _WRAP] + b"\n")
        rest = rest[full:]
    if rest or not at_start:
        target.write(rest + b"\n")
