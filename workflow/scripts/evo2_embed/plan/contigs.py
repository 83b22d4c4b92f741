"""Lengths of a genome's contigs without reading it: from its index, or from its first bytes.

Files up to the size of a sample are read completely, so their lengths are exact. For larger files,
the first bytes give the share of sequence (and the compression ratio), and the file size gives the
total. Contigs after the sample are taken to be like those in it.
"""

import zlib
from dataclasses import dataclass
from pathlib import Path

from evo2_embed.genomes.lengths import read_index
from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.io.remote import address_of, file_size

# Bases per byte of a compressed FASTA file: 3.1 to 3.4 in the genomes that were measured.
BASES_PER_COMPRESSED_BYTE = 3.3
# Maximum bytes read of all genomes of a sheet together, and of one genome.
ALL_SAMPLES = 64 << 20
LEAST_SAMPLE, MOST_SAMPLE = 8 << 10, 16 << 20
# Maximum bytes of a sample after decompression: a gigabyte of N takes a megabyte in a gzip file.
MOST_TEXT = 64 << 20
_FEW = 8  # complete records in a sample that are enough to represent the others
_GZIP = b"\x1f\x8b"
_NOT_SEQUENCE = b" \t\r\n"


@dataclass(frozen=True)
class Contigs:
    """Contigs of a genome.

    Attributes
    ----------
    lengths : list of (float, float)
        Bases of a contig, and number of contigs with that length.
    exact : bool
        Whether they come from an index or the whole file, and not from a sample.
    """

    lengths: list[tuple[float, float]]
    exact: bool

    @property
    def bases(self) -> float:
        """Bases of all contigs."""
        return sum(length * count for length, count in self.lengths)

    @property
    def count(self) -> float:
        """Number of contigs."""
        return sum(count for _, count in self.lengths)


def guess_bases(genome: Genome) -> float:
    """Bases of a genome, from the size of its FASTA file alone."""
    size = file_size(genome.fasta)
    packed = genome.fasta.endswith((".gz", ".bgz"))
    return size * BASES_PER_COMPRESSED_BYTE if packed else float(size)


def sample_size(n_genomes: int) -> int:
    """Bytes to read per genome of a sheet."""
    return min(max(ALL_SAMPLES // max(n_genomes, 1), LEAST_SAMPLE), MOST_SAMPLE)


def read_contigs(genome: Genome, index: Path, sample: int) -> Contigs:
    """Contigs of a genome, from its index if that is newer than its FASTA file, else estimated.

    Parameters
    ----------
    genome : Genome
    index : Path
        Path of the `.fai` of an earlier run; it may be missing.
    sample : int
        Bytes of the file to read.
    """
    fasta = Path(genome.fasta)
    if address_of(genome.fasta) and not fasta.exists():
        return Contigs([(guess_bases(genome), 1)], False)
    stat = fasta.stat()
    lengths = indexed_lengths(genome, index)
    if lengths is not None:
        return Contigs([(length, 1) for length in lengths.values()], True)
    with open(fasta, "rb") as handle:
        head = handle.read(sample)
    whole = len(head) == stat.st_size
    if head[:2] != _GZIP:
        return _from_text(head, stat.st_size, whole)
    text, used = _unpack(head)
    if not text:  # damaged: a later stage reports it
        return Contigs([(stat.st_size * BASES_PER_COMPRESSED_BYTE, 1)], False)
    whole = whole and len(text) < MOST_TEXT
    return _from_text(text, _unpacked_size(fasta, stat.st_size, len(text) / used), whole)


def unpacked_bytes(path: Path, sample: int) -> float:
    """Bytes of a FASTA file after decompression, estimated from its first `sample` bytes."""
    size = path.stat().st_size
    with open(path, "rb") as handle:
        head = handle.read(sample)
    if head[:2] != _GZIP:
        return size
    text, used = _unpack(head)
    return _unpacked_size(path, size, len(text) / used) if text else size


def indexed_lengths(genome: Genome, index: Path) -> dict[str, int] | None:
    """Bases of contigs by name, from an index that is newer than the FASTA file."""
    return read_index(index, Path(genome.fasta))


def _from_text(text: bytes, size: float, whole: bool) -> Contigs:
    """Contigs of a file of `size` bytes, decompressed, that starts with `text`."""
    records = text.split(b"\n>")
    records[0] = records[0].removeprefix(b">")
    lengths = [_bases(record) for record in records]
    if whole:
        return Contigs([(length, 1) for length in lengths if length], True)
    last = lengths.pop()
    if len(lengths) < _FEW:
        rest = (size - len(text)) * _sequence_share(records[-1]) + last
        return Contigs([(n, 1) for n in (*lengths, rest) if n], False)
    scale = size / (len(text) - len(records[-1]))
    return Contigs([(length, scale) for length in lengths if length], False)


def _bases(record: bytes) -> int:
    """Letters of a record's sequence, without its header line."""
    _, _, sequence = record.partition(b"\n")
    return len(sequence.translate(None, _NOT_SEQUENCE))


def _sequence_share(record: bytes) -> float:
    _, _, sequence = record.partition(b"\n")
    return _bases(record) / len(sequence) if sequence else 1.0


def _unpack(head: bytes) -> tuple[bytes, int]:
    """The decompressed start of a gzip or bgzip file, at most `MOST_TEXT` bytes of it, and the
    number of compressed bytes that hold it."""
    pieces, rest, room = [], head, MOST_TEXT
    while rest[:2] == _GZIP and room:
        member = zlib.decompressobj(wbits=31)
        try:
            pieces.append(member.decompress(rest, room))
        except zlib.error:
            break
        room -= len(pieces[-1])
        # The first if the text ends here for lack of room, else the second.
        rest = member.unconsumed_tail or member.unused_data
    return b"".join(pieces), len(head) - len(rest)


def _unpacked_size(path: Path, size: int, ratio: float) -> float:
    """Bytes of a compressed file after decompression.

    A gzip file of one member ends with that number modulo 2^32. With several members it ends with
    the number of the last one. So the number is used only if it agrees with the sample.
    """
    guess = size * ratio
    with open(path, "rb") as handle:
        handle.seek(-4, 2)
        last = int.from_bytes(handle.read(4), "little")
    exact = last + round((guess - last) / 2**32) * 2**32
    return exact if abs(exact - guess) < 0.15 * guess else guess
