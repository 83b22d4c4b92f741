"""Bases of plain FASTA in large blocks: read, without line ends, and classified.

New memory costs more than reading into it, so every step writes into a buffer that is kept. Files
that are not plain, or not as their index says, are read by `fasta.fetch_tokens`, through pyfaidx
and with its errors.
"""

import io
import os
import threading

import numpy as np

from evo2_embed.genomes.index import IndexedFasta

BLOCK = 4_000_000  # bases of a contig in memory at once

UPPER_BITS = ~np.uint8(ord("a") ^ ord("A"))  # makes an ASCII letter upper case
_C_TO_G = np.uint8(ord("C") ^ ord("G"))  # the bit in which C and G differ


class Buffers(threading.local):
    """Arrays by name, kept between uses and grown if they are too small. Each thread has its
    own."""

    def __init__(self):
        self.arrays: dict[str, np.ndarray] = {}

    def take(self, name: str, size: int, dtype: type = np.uint8) -> np.ndarray:
        """The first `size` elements of an array; their values are undefined."""
        if name not in self.arrays or len(self.arrays[name]) < size:
            self.arrays[name] = np.empty(size, dtype)
        return self.arrays[name][:size]


def read_letters(
    fasta: IndexedFasta, contig: str, start: int, end: int, buffers: Buffers
) -> np.ndarray | None:
    """Letters [start, end) of a contig, as they are in the file.

    Returns
    -------
    ndarray of uint8, (end - start,)
        In one of the buffers. None if the file is not plain or not as its index says.
    """
    file, record = fasta.file, fasta.index.get(contig)
    if not isinstance(file, io.BufferedReader) or record is None or end > record.rlen:
        return None
    width, pitch = record.lenc, record.lenb  # length of a line, without and with its end
    first, stop = start // width, -(-end // width)
    raw = buffers.take("raw", (stop - first) * pitch)
    # The last line may be shorter, or have no line end.
    wanted = (stop - 1 - first) * pitch + (end - 1) % width + 1
    if _read_at(file.fileno(), record.offset + first * pitch, raw) < wanted:
        return None
    lines = raw.reshape(stop - first, pitch)
    if pitch > width and (lines[:-1, -1] != ord("\n")).any():
        return None
    letters = buffers.take("letters", (stop - first) * width)
    letters.reshape(stop - first, width)[:] = lines[:, :width]
    return letters[start - first * width : end - first * width]


def read_records(fasta: IndexedFasta, names: list[str], buffers: Buffers) -> np.ndarray | None:
    """Letters of whole records, end to end, in the order of the file.

    Returns
    -------
    ndarray of uint8, (bases of all,)
        In one of the buffers. None if the file is not plain or not as its index says.
    """
    file, index = fasta.file, fasta.index
    if not isinstance(file, io.BufferedReader):
        return None
    rows = np.fromiter(map(index.rows.__getitem__, names), np.int64)
    lengths, begin, end = index.lengths[rows], index.starts[rows], index.ends[rows]
    first = int(begin[0])
    raw = buffers.take("raw", int(end[-1]) - first)
    raw[_read_at(file.fileno(), first, raw) :] = 0  # the last line may have no end
    is_letter = np.greater(raw, ord("\r"), out=buffers.take("is_letter", len(raw), bool))
    # Between records there are headers, and records that are not wanted.
    for gap, stop in zip((end[:-1] - first).tolist(), (begin[1:] - first).tolist(), strict=True):
        is_letter[gap:stop] = False
    if (np.add.reduceat(is_letter, begin - first, dtype=np.int64) != lengths).any():
        return None
    letters = buffers.take("letters", int(lengths.sum()))
    return np.compress(is_letter, raw, out=letters)


def _read_at(file: int, offset: int, target: np.ndarray) -> int:
    """Fill an array from an offset in a file; returns the number of bytes."""
    done = 0
    while done < len(target) and (read := os.preadv(file, [target[done:]], offset + done)):
        done += read
    return done


def classify(
    letters: np.ndarray, lower_case: str, buffers: Buffers
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Tokens of letters, and which of them are G or C, and which are N.

    Parameters
    ----------
    letters : ndarray of uint8, (n,)
    lower_case : {"upper", "keep"}

    Returns
    -------
    tokens, is_gc, is_n : ndarray of uint8, bool and bool, (n,)
        In buffers. None if a letter is not A, C, G, T or N.
    """
    size = len(letters)
    upper = np.bitwise_and(letters, UPPER_BITS, out=buffers.take("upper", size))
    scratch = np.bitwise_and(upper, ~_C_TO_G, out=buffers.take("scratch", size))
    is_gc = np.equal(scratch, ord("C"), out=buffers.take("gc", size, bool))
    known, one = np.count_nonzero(is_gc), buffers.take("n", size, bool)
    for letter in b"ATN":
        known += np.count_nonzero(np.equal(upper, letter, out=one))
    if known < size:
        return None
    return (upper if lower_case == "upper" else letters), is_gc, one


class WindowReader:
    """Letters of single windows; consecutive windows are read in blocks."""

    def __init__(self):
        self.buffers = Buffers()
        self.of: tuple | None = None  # the contig of the block
        self.start = self.end = 0
        self.letters: np.ndarray | None = None

    def read(self, fasta: IndexedFasta, contig: str, start: int, end: int) -> np.ndarray | None:
        """As `read_letters`; the array is valid until the next call."""
        of = (fasta, contig)
        if of != self.of or self.letters is None or not self.start <= start <= end <= self.end:
            # Each read that continues where the last one ended is twice as long.
            held = self.end - self.start
            goes_on = of == self.of and self.start <= start <= self.end + held
            ahead = min(2 * held, BLOCK) if goes_on else 0
            record = fasta.index.get(contig)
            self.of, self.start = of, start
            self.end = max(end, min(start + ahead, record.rlen)) if record else end
            self.letters = read_letters(fasta, contig, start, self.end, self.buffers)
        if self.letters is None:
            return None
        return self.letters[start - self.start : end - self.start]
