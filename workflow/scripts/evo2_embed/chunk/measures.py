"""Measures of windows: shares and checksums; and which windows are left out."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat

import numpy as np

from evo2_embed.genomes.blocks import BLOCK, Buffers, classify, read_letters, read_records
from evo2_embed.genomes.fasta import IS_AMBIGUOUS, IS_GC, fetch_tokens
from evo2_embed.genomes.index import IndexedFasta
from evo2_embed.io.errors import InputError
from evo2_embed.io.parts import Parts, edges_of
from evo2_embed.io.text import shown
from evo2_embed.settings.windows import Windows

# Tokens of a range of bases, and which of them are G or C, and which are ambiguous.
Letters = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Source:
    """Letters of a contig, classified.

    Attributes
    ----------
    fasta : IndexedFasta
    contig : str
    path : str
        The file, for errors.
    lower_case : {"upper", "keep"}
    buffers : Buffers
    """

    fasta: IndexedFasta
    contig: str
    path: str
    lower_case: str
    buffers: Buffers

    def read(self, start: int, end: int) -> Letters:
        """The bases [start, end), valid until the next call in this thread."""
        letters = read_letters(self.fasta, self.contig, start, end, self.buffers)
        found = None if letters is None else classify(letters, self.lower_case, self.buffers)
        if found is None:
            # Not a plain file, or letters other than A, C, G, T and N: slower, with all checks.
            found = _classified(self.fetch(self.contig, start, end))
        return found

    def fetch(self, contig: str, start: int, end: int) -> np.ndarray:
        """Tokens of the bases [start, end) of a record; see `fetch_tokens`."""
        return fetch_tokens(self.fasta, contig, start, end, self.lower_case, self.path)

    def place(self, position: int) -> tuple[str, int]:
        """Contig of a base, and its position there."""
        return self.contig, position


@dataclass(frozen=True)
class JoinedSource(Source):
    """Letters of consecutive records of a file, which lie end to end.

    Attributes
    ----------
    contig : str
        The first record.
    names : list of str
    edges : ndarray of int64, (records + 1,)
        Where the records begin, and the end of the last.
    """

    names: list[str]
    edges: np.ndarray

    def read(self, start: int, end: int) -> Letters:
        """The bases [start, end), valid until the next call in this thread."""
        first = int(np.searchsorted(self.edges, start, "right")) - 1
        stop = int(np.searchsorted(self.edges, end))
        names, before = self.names[first:stop], int(self.edges[first])
        letters = read_records(self.fasta, names, self.buffers)
        found = None if letters is None else classify(letters, self.lower_case, self.buffers)
        if found is None:
            lengths = np.diff(self.edges[first : stop + 1]).tolist()
            records = [self.fetch(*each) for each in zip(names, repeat(0), lengths)]
            found = _classified(np.concatenate(records))
        return tuple(values[start - before : end - before] for values in found)

    def place(self, position: int) -> tuple[str, int]:
        """Record of a base, and its position there."""
        record = int(np.searchsorted(self.edges, position, "right")) - 1
        return self.names[record], position - int(self.edges[record])


def _classified(tokens: np.ndarray) -> Letters:
    return tokens, IS_GC[tokens], IS_AMBIGUOUS[tokens]


def measure_windows(
    source: Source, block: dict[str, np.ndarray | Parts], windows: Windows
) -> tuple[dict[str, np.ndarray | Parts], int]:
    """Measure consecutive windows of a contig. Threads may do this at the same time.

    Parameters
    ----------
    source : Source
    block : dict
        `start`, `end` and `parts` of the windows, and any other columns, (n,) each.
    windows : Windows

    Returns
    -------
    block : dict
        The windows that are kept, also with `length`, `gc`, `ambiguous` and `crc32`.
    skipped : int
        Number of windows that are not kept.

    Raises
    ------
    InputError
        If a letter is no nucleotide, or is ambiguous and the policy is `error`.
    """
    block = block | _measures(source, block)
    if windows.ambiguous.policy == "error":
        _refuse_ambiguous(source, block)
    keep = np.ones(len(block["start"]), bool)
    if windows.ambiguous.policy == "skip":
        keep = block["ambiguous"] <= windows.ambiguous.max_share
    return {key: values[keep] for key, values in block.items()}, int((~keep).sum())


def _measures(source: Source, block: dict[str, np.ndarray | Parts]) -> dict[str, np.ndarray]:
    """Length, GC share, ambiguous share and checksum of each window, (n,)."""
    edges, start, end = _all_parts(block)
    owner = np.repeat(np.arange(len(edges) - 1), np.diff(edges))
    base = int(block["start"][0])
    # Windows of ordinary length lie in one range, which is read at once.
    is_near = np.ones(len(edges) - 1, bool)
    is_near[owner[(start < base) | (end > base + 2 * BLOCK)]] = False
    (n_gc, n_ambiguous), checksums = np.zeros((2, len(start)), np.int64), [0] * len(is_near)
    near = np.flatnonzero(is_near[owner])
    if len(near):
        letters = source.read(base, int(end[near].max()))
        spans = _spans(near, owner, start - base, end - base)
        _count(letters, spans, n_gc, n_ambiguous, checksums)
    for part in np.flatnonzero(~is_near[owner]).tolist():
        for first in range(int(start[part]), int(end[part]), BLOCK):
            stop = min(first + BLOCK, int(end[part]))
            span = (part, int(owner[part]), slice(0, stop - first))
            _count(source.read(first, stop), [span], n_gc, n_ambiguous, checksums)
    lengths = np.add.reduceat(end - start, edges[:-1])
    shares = (np.add.reduceat(counts, edges[:-1]) / lengths for counts in (n_gc, n_ambiguous))
    gc, ambiguous = (share.astype(np.float32) for share in shares)
    crc32 = np.array(checksums, np.uint32)
    return {"length": lengths.astype(np.int32), "gc": gc, "ambiguous": ambiguous, "crc32": crc32}


def _spans(
    parts: np.ndarray, owner: np.ndarray, start: np.ndarray, end: np.ndarray
) -> Iterator[tuple[int, int, slice]]:
    """Number, window and bases of some of the parts."""
    columns = (parts, owner[parts], start[parts], end[parts])
    for part, window, first, stop in zip(*(column.tolist() for column in columns), strict=True):
        yield part, window, slice(first, stop)


def _count(
    letters: Letters,
    spans: Iterator[tuple[int, int, slice]],
    n_gc: np.ndarray,
    n_ambiguous: np.ndarray,
    checksums: list[int],
) -> None:
    """Add the letters of parts to the counts of the parts and to the checksums of the windows."""
    tokens, is_gc, is_ambiguous = letters
    # Most blocks have no ambiguous letter, so there is nothing to count.
    some = is_ambiguous.any()
    for part, window, mine in spans:
        n_gc[part] += np.count_nonzero(is_gc[mine])
        if some:
            n_ambiguous[part] += np.count_nonzero(is_ambiguous[mine])
        checksums[window] = zlib.crc32(tokens[mine], checksums[window])


def _all_parts(
    block: dict[str, np.ndarray | Parts],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Edges, starts and ends of the parts of all windows: of one without parts, itself."""
    parts = block["parts"]
    plain = parts.counts == 0
    edges = edges_of(np.where(plain, 1, parts.counts))
    start, end = np.empty((2, edges[-1]), np.int64)
    start[edges[:-1][plain]], end[edges[:-1][plain]] = block["start"][plain], block["end"][plain]
    joined = np.repeat(~plain, np.diff(edges))
    start[joined], end[joined] = parts.start, parts.end
    return edges, start, end


def _refuse_ambiguous(source: Source, block: dict[str, np.ndarray | Parts]) -> None:
    """Refuse the first window with an ambiguous letter."""
    bad = np.flatnonzero(block["ambiguous"] > 0)
    if not len(bad):
        return
    _, starts, ends = _all_parts({key: values[bad[:1]] for key, values in block.items()})
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        for first in range(start, end, BLOCK):
            tokens, _, is_ambiguous = source.read(first, min(first + BLOCK, end))
            if not is_ambiguous.any():
                continue
            offset = int(is_ambiguous.argmax())
            contig, position = source.place(first + offset)
            raise InputError(
                f"{source.path}: record '{shown(contig)}': ambiguous letter "
                f"'{chr(tokens[offset])}' at base {position + 1} "
                "(windows.ambiguous.policy is error; allowed: keep, skip)"
            )
