"""The sites of a file of variants before a run: from its first bytes, without htslib.

A file whose text is no longer than a sample is counted completely. Of a longer one the first bytes
stand for the rest. A job reads the whole file later, with all checks (`variants`).
"""

import io
import os
import re
import struct
import zlib
from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from evo2_embed.io.errors import InputError

if TYPE_CHECKING:
    import numpy as np

MOST_TEXT = 64 << 20  # bytes that are read, after decompression
_READ = 1 << 17  # bytes of a file at once

_GZIP, _BCF, _VCF = b"\x1f\x8b", b"BCF\2", b"##fileformat=VCF"
# The empty block that ends every file of bgzip.
_END = bytes.fromhex("1f8b08040000000000ff0600424302001b0003000000000000000000")
_SINGLE, _BASES = frozenset((b"A", b"C", b"G", b"T")), re.compile(b"[ACGTacgt]+")
_FIXED = struct.Struct("<iiifII")  # of a BCF record: contig, position, ..., number of alleles


@dataclass(frozen=True, eq=False)
class Sites:
    """Variants of a contig, by their lengths.

    Attributes
    ----------
    position : ndarray of int64, (n,)
        0-based.
    ref_length, alt_length : ndarray of int64, (n,)
        Bases of the alleles.
    first, last : ndarray of int64, (n,), optional
        Of a scan, the first and the last base that have the same window. Without them, each variant
        has a window of its own.
    """

    position: "np.ndarray"
    ref_length: "np.ndarray"
    alt_length: "np.ndarray"
    first: "np.ndarray | None" = None
    last: "np.ndarray | None" = None

    def __len__(self) -> int:
        return len(self.position)

    def within(self, length: int) -> "Sites":
        """Those that lie on a contig of `length` bases."""
        keep = (self.position >= 0) & (self.position + self.ref_length <= length)
        return self if keep.all() else self.take(keep)

    def take(self, rows: "np.ndarray") -> "Sites":
        """The variants with these indices, or where this is true."""
        columns = (self.position, self.ref_length, self.alt_length, self.first, self.last)
        return Sites(*(None if column is None else column[rows] for column in columns))


def check_file(path: str) -> None:
    """Check the beginning and the end of a file of variants.

    Raises
    ------
    InputError
        If it is neither VCF nor BCF, is not compressed with bgzip, or is cut off.
    """
    with open(path, "rb") as handle:
        head = handle.read(18)
        handle.seek(-min(len(_END), os.path.getsize(path)), os.SEEK_END)
        end = handle.read()
    if head[:2] == _GZIP:
        if head[3:4] != b"\4" or head[12:14] != b"BC":
            raise InputError(
                f"{path}: compressed with gzip, not with bgzip (allowed: plain or bgzip; "
                "decompress it, then run bgzip)"
            )
        if end != _END:
            raise InputError(f"{path}: the bgzip file is cut off (its last block is missing)")
    head, _ = _head(path, 64)
    if not head.removeprefix(b"\xef\xbb\xbf").startswith((_BCF, _VCF)):
        raise InputError(
            f"{path}: not a VCF or BCF file (a VCF begins with the line '##fileformat=VCFv4.2')"
        )


def sample_sites(path: str) -> tuple[dict[str, Sites], float]:
    """The variants in the first bytes of a file, and how many times as many the whole file has: 1
    if it was read completely. Alleles that are no sequence of bases are left out.

    Raises
    ------
    InputError
        As `check_file`.
    """
    state = os.stat(path)
    return _sample(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=64)
def _sample(path: str, modified: int, size: int) -> tuple[dict[str, Sites], float]:
    import numpy as np

    check_file(path)
    text, share = _head(path, MOST_TEXT)
    rows = _bcf_rows(text) if text.startswith(_BCF) else _vcf_rows(text)
    columns: dict[bytes, tuple[array, array, array]] = {}
    for contig, at, ref, alts in rows:
        if contig not in columns:
            columns[contig] = array("q"), array("q"), array("q")
        position, ref_length, alt_length = columns[contig]
        for alt in alts:
            if alt in _SINGLE or _BASES.fullmatch(alt):
                position.append(at)
                ref_length.append(ref)
                alt_length.append(len(alt))
    sites = {}
    for contig, mine in columns.items():
        position, *lengths = (np.array(column, np.int64) for column in mine)
        order = np.argsort(position, kind="stable")
        name = contig.decode("utf-8", "replace")
        sites[name] = Sites(*(column[order] for column in (position, *lengths)))
    return sites, 1 / share


def _head(path: str, most: int) -> tuple[bytes, float]:
    """The first bytes of a file, decompressed, at least `most` of them if it has as many, and their
    share of it."""
    size = os.path.getsize(path)
    with open(path, "rb") as handle:
        if handle.peek(2)[:2] != _GZIP:
            text = handle.read(most)
            return text, len(text) / max(size, 1)
        pieces, length, rest = [], 0, b""
        while length < most and (rest := rest or handle.read(_READ)):
            # A block of bgzip is a gzip member of at most 64 kB, which may end in a later piece.
            member = zlib.decompressobj(wbits=31)
            while not member.eof and rest:
                try:
                    pieces.append(member.decompress(rest))
                except zlib.error as error:
                    raise InputError(f"{path}: damaged bgzip file ({error})") from None
                length += len(pieces[-1])
                rest = member.unused_data if member.eof else handle.read(_READ)
        return b"".join(pieces), (handle.tell() - len(rest)) / size


def _vcf_rows(text: bytes) -> Iterator[tuple[bytes, int, int, list[bytes]]]:
    """Contig, position (0-based), bases of the reference allele and alternates of the lines of a
    VCF; lines that are no records are left out."""
    for line in io.BytesIO(text):
        if line.startswith(b"#"):
            continue
        cells = line.rstrip(b"\r\n").split(b"\t", 5)
        if len(cells) > 4 and cells[1].isdigit():
            yield cells[0], int(cells[1]) - 1, len(cells[3]), cells[4].split(b",")


def _bcf_rows(text: bytes) -> Iterator[tuple[bytes, int, int, list[bytes]]]:
    """As `_vcf_rows`, of a BCF."""
    length = int.from_bytes(text[5:9], "little")
    contigs = _bcf_contigs(text[9 : 9 + length])
    start = 9 + length
    while start + 8 <= len(text):
        shared, samples = struct.unpack_from("<II", text, start)
        begin, start = start + 8, start + 8 + shared + samples
        if begin + shared > len(text):
            return
        contig, position, _, _, alleles, _ = _FIXED.unpack_from(text, begin)
        at, strings = begin + _FIXED.size, []
        for _ in range(1 + (alleles >> 16)):  # the ID comes first
            size, at = _bcf_size(text, at)
            strings.append(text[at : at + size])
            at += size
        if contig in contigs and len(strings) > 1:
            yield contigs[contig], position, len(strings[1]), strings[2:]


def _bcf_contigs(header: bytes) -> dict[int, bytes]:
    """Names of contigs by their numbers, which lines may state."""
    contigs = {}
    for line in header.split(b"\n"):
        if line.startswith(b"##contig=<"):
            name, number = re.search(b"ID=([^,>]+)", line), re.search(b"IDX=([0-9]+)", line)
            if name:
                contigs[int(number[1]) if number else len(contigs)] = name[1]
    return contigs


def _bcf_size(text: bytes, at: int) -> tuple[int, int]:
    """Bytes of the string whose description is at an offset, and where it begins."""
    size, at = text[at] >> 4, at + 1
    if size < 15:
        return size, at
    width = {1: 1, 2: 2, 3: 4}[text[at] & 15]
    return int.from_bytes(text[at + 1 : at + 1 + width], "little"), at + 1 + width
