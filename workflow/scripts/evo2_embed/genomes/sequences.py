"""Tokens of stretches from the FASTA files of a bundle."""

import resource
import zlib
from collections.abc import Iterator
from contextlib import ExitStack

import numpy as np

from evo2_embed.genomes.blocks import BLOCK, UPPER_BITS, WindowReader
from evo2_embed.genomes.fasta import (
    KEEP,
    UPPER,
    fasta_index,
    fetch_tokens,
    open_fasta,
    reverse_complement,
)
from evo2_embed.genomes.index import IndexedFasta
from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.io.errors import InputError
from evo2_embed.io.text import shown

_SPARE_FILES = 100  # open files kept free for other uses


class Sequences:
    """The files of a bundle's genomes, each opened at its first use.

    At most the number of files that the system allows stays open: a bundle can have thousands.
    """

    def __init__(self, genomes: list[Genome], chunks: str, indexes: str, lower_case: str):
        self.genomes = {genome.name: genome for genome in genomes}
        self.chunks, self.indexes, self.lower_case = chunks, indexes, lower_case
        self.open: dict[str, tuple[IndexedFasta, ExitStack]] = {}
        self.most = max(1, _allow_open_files() - _SPARE_FILES)
        self.reader = WindowReader()

    def __enter__(self) -> "Sequences":
        return self

    def __exit__(self, *error) -> None:
        with ExitStack() as all_files:
            for _, stack in self.open.values():
                all_files.push(stack)

    def copy_tokens(
        self,
        genome: str,
        contig: str,
        strand: str,
        intervals: list[list[int]],
        windows: np.ndarray,
        out: np.ndarray,
        insert: str | None = None,
    ) -> None:
        """Write the tokens of a stretch, on its strand, to `out`: uint8, (bases,).

        Parameters
        ----------
        intervals : list of [start, end]
            The bases of the stretch, in order on the forward strand. What is before the start of
            the contig, or past its end, is at its other end.
        windows : ndarray of int64, (n, 5)
            Of each of its chunks the start and end in the stretch, on the forward strand; the
            CRC-32; and start and end on the contig.
        insert : str, optional
            Letters between the first and the second interval.

        Raises
        ------
        InputError
            If the file is not the file that was chunked.
        """
        fasta, source = self._fasta(genome), self.genomes[genome].fasta
        record, rows = fasta.index.get(contig), windows.tolist()
        # On other records nothing is past the end, unless the file has changed.
        circular = record is not None and self.genomes[genome].is_circular(contig)
        length = record.rlen if circular else None
        pieces = list(_pieces(intervals if insert is None else intervals[:1], length))
        if insert is not None:
            start, end = intervals[0]
            after = end - start + len(insert)
            out[end - start : after] = np.frombuffer(insert.encode(), np.uint8)
            pieces += _pieces(intervals[1:], length, after)
        if not self._translate(fasta, contig, pieces, rows, out):
            for start, end, offset in pieces:
                tokens = fetch_tokens(fasta, contig, start, end, self.lower_case, source)
                out[offset : offset + end - start] = tokens
            if (bad := _changed(out, rows)) is not None:
                raise InputError(
                    f"{source}: record '{shown(contig)}': bases {bad[3]} to {bad[4]} are not those "
                    "that were chunked; the file or its index has changed: delete "
                    f"{self.chunks} and rerun"
                )
        if strand == "-":
            out[:] = reverse_complement(out)

    def _translate(
        self,
        fasta: IndexedFasta,
        contig: str,
        pieces: list[tuple[int, int, int]],
        windows: list[list[int]],
        out: np.ndarray,
    ) -> bool:
        """Write the letters of all pieces as tokens; False if the file is not plain, or a letter is
        not allowed or differs from the chunked one."""
        is_window = windows[0][:2] == [0, len(out)]
        table = UPPER if self.lower_case == "upper" else KEEP
        for start, end, offset in pieces:
            letters = self.reader.read(fasta, contig, start, end)
            if letters is None:
                return False
            mine = out[offset : offset + end - start]
            # With its checksum the letters are those of the chunk, so all are allowed.
            if not is_window:
                mine[:] = table[letters]
            elif self.lower_case == "upper":
                np.bitwise_and(letters, UPPER_BITS, out=mine)
            else:
                mine[:] = letters
        return bool(is_window or out.all()) and _changed(out, windows) is None

    def _fasta(self, name: str) -> IndexedFasta:
        if name not in self.open:
            if len(self.open) >= self.most:
                self.open.pop(next(iter(self.open)))[1].close()
            stack = ExitStack()
            index = fasta_index(self.indexes, name)
            mine = self.genomes[name]
            opened = open_fasta(mine.fasta, index, full_names=mine.full_names)
            fasta = stack.enter_context(opened)
            self.open[name] = (fasta, stack)
        return self.open[name][0]


def _pieces(
    intervals: list[list[int]], length: int | None, before: int = 0
) -> Iterator[tuple[int, int, int]]:
    """Intervals of a contig in pieces of at most `BLOCK` bases: start, end, and bases before it. On
    a circular contig of `length` bases, a piece does not go over the origin."""
    for start, end in intervals:
        while start < end:
            at = start % length if length else start
            room = min(BLOCK, length - at) if length else BLOCK
            bases = min(end - start, room)
            yield at, at + bases, before
            start, before = start + bases, before + bases


def _changed(tokens: np.ndarray, windows: list[list[int]]) -> list[int] | None:
    """The first window whose checksum differs from that of its tokens."""
    for window in windows:
        if zlib.crc32(tokens[window[0] : window[1]]) != window[2]:
            return window
    return None


def _allow_open_files() -> int:
    """Raise the limit of open files of this process to its maximum; returns the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65_536 if hard == resource.RLIM_INFINITY else min(hard, 65_536)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        return wanted
    return 65_536 if soft == resource.RLIM_INFINITY else soft
