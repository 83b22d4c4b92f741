"""Lengths of the records of a FASTA file, where they are known without much reading.

Light: a run looks at them when it starts.
"""

import gzip
import zlib
from pathlib import Path

# Bytes of a FASTA file that is read, as it is and after decompression.
MOST_BYTES, MOST_TEXT = 8 << 20, 32 << 20
_BLANKS = b" \t\r\n"


def known_lengths(path: str, full_names: bool = False) -> dict[str, int] | None:
    """Bases of each record by name: from the index beside the file (`.fai`) if that is not older,
    or from the file itself if it is small. None if that does not tell: a job reads the file later.
    """
    try:
        # The index that other tools make has first words.
        index = None if full_names else read_index(Path(f"{path}.fai"), Path(path))
        return index or _read_small(path, full_names)
    except (OSError, EOFError, zlib.error):
        return None


def read_index(index: Path, fasta: Path) -> dict[str, int] | None:
    """Bases of each record by name, from an index that is not older than its FASTA file."""
    # A FASTA file at an address may not be fetched yet, or not any more.
    if not (index.exists() and fasta.exists()) or index.stat().st_mtime < fasta.stat().st_mtime:
        return None
    try:
        rows = [line.split("\t") for line in index.read_text(encoding="utf-8").splitlines()]
        return {row[0]: int(row[1]) for row in rows}
    except (IndexError, ValueError):
        return None


def _read_small(path: str, full_names: bool) -> dict[str, int] | None:
    if Path(path).stat().st_size > MOST_BYTES:
        return None
    with open(path, "rb") as plain:
        packed = plain.peek(2)[:2] == b"\x1f\x8b"
        with gzip.open(plain) if packed else plain as handle:
            text = handle.read(MOST_TEXT + 1)
    if len(text) > MOST_TEXT or not text.startswith(b">"):
        return None
    lengths: dict[str, int] = {}
    for record in text[1:].split(b"\n>"):
        header, _, sequence = record.partition(b"\n")
        words = header.decode("utf-8", "replace").split()
        name = " ".join(words if full_names else words[:1])
        if name in lengths:
            return None
        lengths[name] = len(sequence.translate(None, _BLANKS))
    return lengths
