"""Tokens of stretches from the FASTA files of a bundle."""

import resource
import zlib
from contextlib import ExitStack

import numpy as np
import pyfaidx

from evo2_embed.genomes.blocks import UPPER_BITS, WindowReader
from evo2_embed.genomes.fasta import (
    KEEP,
    UPPER,
    fasta_index,
    fetch_tokens,
    open_fasta,
    reverse_complement,
)
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
        self.open: dict[str, tuple[pyfaidx.Fasta, ExitStack]] = {}
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
        start: int,
        end: int,
        windows: np.ndarray,
        out: np.ndarray,
    ) -> None:
        """Write the tokens of a stretch, on its strand, to `out`: uint8, (end - start,).

        Parameters
        ----------
        start, end : int
            The bases of the stretch, on the forward strand.
        windows : ndarray of int64, (n, 3)
            Start, end and CRC-32 of each of its chunks.

        Raises
        ------
        InputError
            If the file is not the file that was chunked.
        """
        bases = (self._fasta(genome), contig, start, end)
        letters = self.reader.read(*bases)
        rows = windows.tolist()
        if letters is None or not self._translate(letters, start, rows, out):
            source = self.genomes[genome].fasta
            out[:] = fetch_tokens(*bases, self.lower_case, source)
            if (bad := _changed(out, start, rows)) is not None:
                raise InputError(
                    f"{source}: record '{shown(contig)}': bases {bad[0]} to {bad[1]} are not those "
                    "that were chunked; the file or its index has changed: delete "
                    f"{self.chunks} and rerun"
                )
        if strand == "-":
            out[:] = reverse_complement(out)

    def _translate(
        self, letters: np.ndarray, start: int, windows: list[list[int]], out: np.ndarray
    ) -> bool:
        """Write letters as tokens; False if one is not allowed, or differs from the chunked one."""
        if len(windows) > 1 or windows[0][1] - windows[0][0] < len(letters):
            out[:] = (UPPER if self.lower_case == "upper" else KEEP)[letters]
            return bool(out.all()) and _changed(out, start, windows) is None
        # With this checksum the letters are those of the chunk, so all are allowed.
        if self.lower_case == "upper":
            np.bitwise_and(letters, UPPER_BITS, out=out)
        else:
            out[:] = letters
        return zlib.crc32(out) == windows[0][2]

    def _fasta(self, name: str) -> pyfaidx.Fasta:
        if name not in self.open:
            if len(self.open) >= self.most:
                self.open.pop(next(iter(self.open)))[1].close()
            stack = ExitStack()
            index = fasta_index(self.indexes, name)
            fasta = stack.enter_context(open_fasta(self.genomes[name].fasta, index))
            self.open[name] = (fasta, stack)
        return self.open[name][0]


def _changed(tokens: np.ndarray, start: int, windows: list[list[int]]) -> list[int] | None:
    """The first window whose checksum differs from that of its tokens; tokens start at `start`."""
    for window in windows:
        if zlib.crc32(tokens[window[0] - start : window[1] - start]) != window[2]:
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
