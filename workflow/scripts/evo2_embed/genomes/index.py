"""The index of FASTA text in one pass over large blocks, as pyfaidx would write it.

pyfaidx looks at every line in Python, which takes a minute for a gigabase. What is done here for
whole blocks of lines is only what an ordinary file needs: ASCII, lines that end in LF, and records
of lines of one length but for a shorter last one. Any other file is left to pyfaidx, which reads it
or says what is wrong.
"""

import os

import numpy as np

_BLOCK = 1 << 22  # bytes read at once; a longer line is no ordinary one


def scan_index(path: str) -> str | None:
    """The text of a plain file's `.fai`, or None where the file is not an ordinary one."""
    # A small file needs no large buffer, but room for the LF that its last line may lack.
    buffer, rest, base = bytearray(min(_BLOCK, os.path.getsize(path) + 1)), 0, 0
    scan = _Scan(len(buffer))
    view = np.frombuffer(buffer, np.uint8)
    with open(path, "rb", buffering=0) as handle:
        while read := handle.readinto(memoryview(buffer)[rest:]):
            filled = rest + read
            lines = buffer.rfind(b"\n", 0, filled) + 1
            # What a newline does not end is looked at with the rest of its line.
            if not buffer.isascii() or buffer.find(b"\r", 0, filled) >= 0:
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
    """What is known of the records so far. Widths are those of lines with their LF."""

    def __init__(self, size: int):
        self.names: list[str] = []
        self.offsets: list[int] = []  # where the sequences start
        self.widths: list[int] = []  # of the first line
        self.letters: list[int] = []
        self.lines: list[int] = []
        self.ended = False  # whether the last record has had its shorter last line
        self.unended = False  # whether the file's last line lacks its LF
        self.scratch = np.empty(size, bool)

    def pass_lines(self, block: np.ndarray) -> int:
        """Take the full lines that a block, at the start of a line, begins with, if it has only
        such lines; how many bytes they are."""
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
        """Take whole lines, at byte `base` of the file; False when they are not ordinary."""
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
        """Count the lines that go on with the record of the block before."""
        count = int(headers[0]) if len(headers) else len(starts)
        if not count:
            return not self.names or self.lines[-1] > 0
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
        """Note the records that begin in a block; False for one with no name or no sequence."""
        places = np.append(starts, len(block))
        first, stop = headers + 1, np.append(headers[1:], len(starts))[: len(headers)]
        lines = stop - first
        if (lines[:-1] == 0).any():
            return False
        for start, end in zip(places[headers].tolist(), places[first].tolist(), strict=True):
            words = block[start + 1 : end].tobytes().decode().split()
            if not words:
                return False
            self.names.append(words[0])
        self.offsets += (places[first] + base).tolist()
        self.lines += lines.tolist()
        self.letters += (places[stop] - places[first] - lines).tolist()
        # A header that is the last line of a block has its first line in the next one.
        begun = np.append(widths, 0)[first]
        self.widths += begun.tolist()
        return bool((begun[lines > 0] > 1).all())

    def text(self) -> str | None:
        """The index; None where names stand twice, or a record has no sequence."""
        if not self.names or not self.lines[-1] or len(set(self.names)) < len(self.names):
            return None
        ends = [1] * len(self.names)
        if self.unended and self.lines[-1] == 1:
            ends[-1] = 0
        columns = zip(self.names, self.letters, self.offsets, self.widths, ends, strict=True)
        return "".join(
            f"{name}\t{letters}\t{offset}\t{width - 1}\t{width - 1 + end}\n"
            for name, letters, offset, width, end in columns
        )
