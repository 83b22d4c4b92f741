"""The index of a FASTA file: made in large blocks, and kept as arrays; equal to that of pyfaidx.

pyfaidx reads every line of both files in Python: one minute per gigabase, and 5 s per million
records. `scan_index` handles ordinary files only: ASCII, lines that end in LF, and records whose
lines have one length, except a shorter last line. pyfaidx reads all other files, or reports their
errors.
"""

import os
from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa
from pyarrow import csv
from pyfaidx import Faidx, IndexRecord

from evo2_embed.io.errors import InputError
from evo2_embed.io.text import shown

_BLOCK = 1 << 22  # bytes read at once; a file with a longer line is not ordinary


class RecordIndex(Mapping):
    """Records of a FASTA file by name, in its order: what pyfaidx keeps in a dictionary.

    Attributes
    ----------
    rows : dict of str to int
        The number of each record.
    lengths, starts, ends : ndarray of int64, (records,)
        Bases of each record; where they start and end in the file, in bytes.
    """

    def __init__(self, names: list[str], columns: np.ndarray):
        self.rows = dict(zip(names, range(len(names)), strict=True))
        if len(self.rows) < len(names):
            name, _ = Counter(names).most_common(1)[0]
            raise ValueError(f'Duplicate key "{name}"')
        self.columns = columns
        self.lengths, self.starts, width, pitch = columns
        lines = -(-self.lengths // np.maximum(width, 1))
        self.ends = self.starts + self.lengths + lines * (pitch - width)

    @staticmethod
    def read(path: str) -> "RecordIndex":
        """Read a `.fai` file; a ValueError if it is damaged, or a name occurs twice."""
        kinds = {"name": pa.string(), **dict.fromkeys(IndexRecord._fields[:4], pa.int64())}
        table = csv.read_csv(
            path,
            csv.ReadOptions(column_names=list(kinds), use_threads=False),
            csv.ParseOptions(delimiter="\t", quote_char=False),
            csv.ConvertOptions(column_types=kinds),
        )
        names, *numbers = table.columns
        return RecordIndex(names.to_pylist(), np.array([each.to_numpy() for each in numbers]))

    def __getitem__(self, name: str) -> IndexRecord:
        row = self.rows[name]
        before = int(self.ends[row - 1]) if row else 0
        return IndexRecord(*self.columns[:, row].tolist(), int(self.ends[row]), before)

    def __iter__(self) -> Iterator[str]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)


class IndexedFasta(Faidx):
    """A FASTA file whose index is a `RecordIndex`."""

    def read_fai(self) -> None:
        """Read the index, see `RecordIndex.read`."""
        self.index = RecordIndex.read(self.indexname)


def scan_index(path: str, full_names: bool = False) -> str | None:
    """The text of a plain file's `.fai`, or None if the file is not ordinary.

    With `full_names`, names are whole lines, in UTF-8; an `InputError` if two are equal.
    """
    # Small files need small buffers, with space for an LF that the last line may lack.
    buffer, rest, base = bytearray(min(_BLOCK, os.path.getsize(path) + 1)), 0, 0
    scan = _Scan(len(buffer), full_names)
    view = np.frombuffer(buffer, np.uint8)
    with open(path, "rb", buffering=0) as handle:
        while read := handle.readinto(memoryview(buffer)[rest:]):
            filled = rest + read
            lines = buffer.rfind(b"\n", 0, filled) + 1
            # An unfinished line is handled together with its rest.
            if not (full_names or buffer.isascii()) or buffer.find(b"\r", 0, filled) >= 0:
                return None
            done = scan.pass_lines(view[:lines])
            if not scan.add(view[done:lines], base + done):
                return None
            base += lines
            rest = filled - lines
            view[:rest] = view[lines:filled].copy()
    if rest == len(buffer):
        return None
    if rest:
        view[rest] = ord("\n")
        scan.unended = True
        if not scan.add(view[: rest + 1], base):
            return None
    return scan.text()


class _Scan:
    """The records found so far. Widths of lines include their LF."""

    def __init__(self, size: int, full_names: bool):
        self.full_names = full_names
        self.names: list[str] = []
        self.offsets: list[int] = []  # offsets of the sequences
        self.widths: list[int] = []  # width of the first line
        self.letters: list[int] = []
        self.lines: list[int] = []
        self.ended = False  # whether the shorter last line of the last record was read
        self.unended = False  # whether the file's last line lacks its LF
        self.scratch = np.empty(size, bool)

    def pass_lines(self, block: np.ndarray) -> int:
        """Count the full lines of a block that has only full lines; returns their bytes."""
        if not self.names or self.ended or self.widths[-1] < 2:
            return 0
        width = self.widths[-1]
        lines = len(block) // width
        grid = block[: lines * width].reshape(lines, width)
        ends = np.equal(grid, ord("\n"), out=self.scratch[: lines * width].reshape(lines, width))
        if not ends[:, -1].all() or np.count_nonzero(ends) > lines:
            return 0
        if (grid[:, 0] == ord(">")).any():
            return 0
        self.lines[-1] += lines
        self.letters[-1] += lines * (width - 1)
        return lines * width

    def add(self, block: np.ndarray, base: int) -> bool:
        """Count complete lines, at byte `base` of the file; False if they are not ordinary."""
        if not len(block):
            return True
        ends = np.flatnonzero(block == ord("\n")) + 1
        starts = np.concatenate([[0], ends[:-1]])
        widths = ends - starts
        is_header = block[starts] == ord(">")
        headers = np.flatnonzero(is_header)
        if not self._carry_on(headers, starts, widths, len(block)):
            return False
        if not self._begin_records(block, headers, starts, widths, base):
            return False
        firsts = np.array(self.widths[max(0, len(self.widths) - len(headers) - 1) :])
        # Lines before the first header of the block belong to the record before it.
        number = np.cumsum(is_header) + len(firsts) - len(headers) - 1
        odd = np.flatnonzero((widths != firsts[number]) & ~is_header)
        self.ended = bool(len(odd)) and odd[-1] == len(starts) - 1
        last = np.append(is_header[1:], True)
        return bool((last[odd] & (widths[odd] < firsts[number[odd]]) & (widths[odd] > 1)).all())

    def _carry_on(
        self, headers: np.ndarray, starts: np.ndarray, widths: np.ndarray, size: int
    ) -> bool:
        """Count the lines that continue the record of the previous block."""
        count = int(headers[0]) if len(headers) else len(starts)
        if not count:
            return True
        if not self.names or self.ended:
            return False
        if not self.lines[-1]:
            self.widths[-1] = int(widths[0])
        stop = size if count == len(starts) else int(starts[count])
        self.lines[-1] += count
        self.letters[-1] += stop - count
        return self.widths[-1] > 1

    def _begin_records(
        self,
        block: np.ndarray,
        headers: np.ndarray,
        starts: np.ndarray,
        widths: np.ndarray,
        base: int,
    ) -> bool:
        """Record the records that start in a block; False if one has no name."""
        offsets = np.append(starts, len(block))
        first, stop = headers + 1, np.append(headers[1:], len(starts))[: len(headers)]
        lines = stop - first
        text = block.tobytes()
        for start, end in zip(offsets[headers].tolist(), offsets[first].tolist(), strict=True):
            words = text[start + 1 : end].decode().split()
            if not words:
                return False
            self.names.append(" ".join(words) if self.full_names else words[0])
        self.offsets += (offsets[first] + base).tolist()
        self.lines += lines.tolist()
        self.letters += (offsets[stop] - offsets[first] - lines).tolist()
        # If a header is the last line of a block, its sequence starts in the next block.
        begun = np.append(widths, 0)[first]
        self.widths += begun.tolist()
        return bool((begun[lines > 0] > 1).all())

    def text(self) -> str | None:
        """The index; None if a name occurs twice, or the file ends with a header without LF."""
        if not self.names:
            return None
        if len(set(self.names)) < len(self.names):
            if self.full_names:
                name, _ = Counter(self.names).most_common(1)[0]
                raise InputError(f"record name '{shown(name)}' occurs twice (names must differ)")
            return None
        if self.unended and not self.lines[-1]:
            return None
        ends = [1] * len(self.names)
        if self.unended and self.lines[-1] == 1:
            ends[-1] = 0
        # Some assemblers write records without bases.
        widths = [
            (width - 1, width - 1 + end) if letters else (0, 0)
            for letters, width, end in zip(self.letters, self.widths, ends, strict=True)
        ]
        columns = zip(self.names, self.letters, self.offsets, widths, strict=True)
        return "".join(
            f"{name}\t{letters}\t{offset}\t{width}\t{pitch}\n"
            for name, letters, offset, (width, pitch) in columns
        )
