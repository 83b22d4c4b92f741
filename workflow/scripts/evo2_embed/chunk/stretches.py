"""Stretches: consecutive bases of a contig's strand that run through the model as one sequence.

A window lies in one stretch, and the model sees it after the bases that precede it there: its
upstream context. Positions on a strand count in the direction of the strand, from its own start: on
`-`, from the right end of the contig.

Example: three windows of 6 bases on `+`, with `span: 12` and `min: 2`.

    position    0   4  6   10        18 20    26
    window 0    [------)
    window 1        [------)
    window 2                            [-----)
    stretch 0   [----------)
    stretch 1                        [--------)

Window 0 begins stretch 0, at the start of the strand. Window 1 ends within 12 bases of that start,
so it is in stretch 0 too. Window 2 would end 26 bases from there. So it begins stretch 1, which
starts 2 bases upstream of it. The windows end after 6, 10 and 8 bases of their stretches:

>>> starts, strands = np.array([0, 4, 20]), np.array(["+", "+", "+"])
>>> stretch, context = group_windows(starts, starts + 6, strands, 40, Context(span=12, min=2))
>>> stretch.tolist(), context.tolist()
([0, 0, 1], [6, 10, 8])
>>> count_bases(stretch, context).tolist()
[10, 8]

`pack.assign` continues the example.
"""

import numpy as np

from evo2_embed.io.parts import Parts
from evo2_embed.settings.windows import Context


def group_windows(
    starts: np.ndarray, ends: np.ndarray, strands: np.ndarray, length: int, limits: Context
) -> tuple[np.ndarray, np.ndarray]:
    """Group the windows of a contig, on one or both strands, into stretches.

    Parameters
    ----------
    starts, ends : ndarray of int64, (n,)
        0-based and half-open, on the forward strand; in any order.
    strands : ndarray of str, (n,)
    length : int
        Bases of the contig.
    limits : Context
        With `span: size` every window is a stretch of its own.

    Returns
    -------
    stretch : ndarray of int64, (n,)
        Number of each window's stretch in the contig, from 0.
    context : ndarray of int64, (n,)
        Bases of the stretch up to the end of the window, its own included.
    """
    if limits.span == "size":
        return np.arange(len(starts)), ends - starts
    stretch, context = np.empty((2, len(starts)), np.int64)
    first = 0
    for strand in "+-":
        mine = np.flatnonzero(strands == strand)
        begin, end = starts[mine], ends[mine]
        if strand == "-":
            begin, end = length - end, length - begin
        stretch[mine], origin = cut_stretches(begin, end, limits.span, limits.min)
        stretch[mine] += first
        context[mine] = end - origin
        first += len(mine)  # at least as many numbers as the strand has stretches
    return stretch, context


def cut_stretches(
    starts: np.ndarray, ends: np.ndarray, span: int, upstream: int
) -> tuple[np.ndarray, np.ndarray]:
    """Cut the windows of one strand of a contig into stretches.

    The first window, in the order of starts, that is in no stretch yet begins one: at the start of
    the strand if the window ends within `span` of it, else `upstream` bases before the window. All
    windows that follow belong to it, up to the first that ends more than `span` from its start.

    Parameters
    ----------
    starts, ends : ndarray of int64, (n,)
        Positions on the strand, in any order.
    span : int
        Maximum bases from the start of a stretch to the end of a window in it. Every window must
        fit into it with `upstream` bases.
    upstream : int
        Minimum bases before each window in its stretch, or all back to the start of the strand.

    Returns
    -------
    stretch, origin : ndarray of int64, (n,)
        Number of each window's stretch, from 0, and the position where that starts.
    """
    order = np.lexsort((ends, starts))
    begin, end = starts[order], ends[order]
    edges, origins = [0], []
    while (row := edges[-1]) < len(order):
        # With all bases back to the start of the strand, if that is possible, no context is lost.
        origins.append(0 if end[row] <= span else max(0, int(begin[row]) - upstream))
        limit = origins[-1] + span
        # Regions may differ in length, so ends are not in the order of starts. What starts at the
        # limit or after it also ends after it.
        ends_after = end[row : np.searchsorted(begin, limit)] > limit
        first = int(ends_after.argmax())
        edges.append(row + (first if ends_after[first] else len(ends_after)))
    counts = np.diff(edges)
    stretch, origin = np.empty((2, len(order)), np.int64)
    stretch[order] = np.repeat(np.arange(len(counts)), counts)
    origin[order] = np.repeat(np.array(origins, np.int64), counts)
    return stretch, origin


class Stretches:
    """The stretches of a shard, from its chunks.

    Parameters
    ----------
    chunks : dict of str to ndarray, (n,)
        `start`, `end`, `parts`, `stretch`, `context`, `length`, `parent`, `fork`, `insert` and
        `minus` (whether on strand `-`) of all chunks of some stretches with consecutive numbers. A
        chunk with parts is a stretch of its own, and so is one with an insert.

    Attributes
    ----------
    order : ndarray of int64, (n,)
        Indices of the chunks, stretch after stretch, and in a stretch by their ends on the strand.
    edges : ndarray of int64, (m + 1,)
        Stretch i has the chunks `order[edges[i]:edges[i + 1]]`.
    number, bases : ndarray of int64, (m,)
        Numbers of the stretches, and how many bases they have; forks without those that they share
        with their parents.
    minus : ndarray of bool, (m,)
        Whether they are on strand `-`.
    parent, fork : ndarray of int64, (m,)
        Number of the parent of a fork, and how many bases of it are before the fork; -1 and 0 for
        other stretches.
    insert : ndarray of object, (m,)
        The letters of an alternate allele that are in place of those of the reference, on the
        forward strand; None for other stretches.
    has_insert : ndarray of bool, (m,)
        Whether there is one.
    """

    def __init__(self, chunks: dict[str, np.ndarray | Parts]):
        stretch, context = chunks["stretch"], chunks["context"]
        self.order = np.lexsort((context, stretch))
        self.number, first = np.unique(stretch[self.order], return_index=True)
        self.edges = np.append(first, len(stretch))
        # The context of the last chunk is the whole stretch, which begins to the right on `-`.
        last = self.order[self.edges[1:] - 1]
        self.parent = chunks["parent"][last]
        self.fork = np.where(self.parent < 0, 0, chunks["fork"][last])
        self.insert = chunks["insert"][last]
        self.has_insert = np.array([letters is not None for letters in self.insert], bool)
        self.bases = context[last] - self.fork
        self.minus, self._parts = chunks["minus"][last], chunks["parts"][last]
        start, end = chunks["start"][last], chunks["end"][last]
        self._end = np.where(self.minus, start + self.bases, end)
        self._upstream = self.bases - self._parts.bases(start, end)
        self._windows = np.stack([start, end, chunks["length"][last]], axis=1)
        self._before = self._windows[:, 2] - (context[last] - chunks["fork"][last])

    def intervals(self, index: int) -> list[list[int]]:
        """Start and end of the bases of a stretch, in order on the forward strand.

        There is one interval, or one per part. The first may begin before the start of a circular
        contig, or the last end past its end: the context goes on at the other end.

        Of a stretch with an insert they are those of its window, also if it is a fork: the bases
        before the insert, and those after it.
        """
        if self.has_insert[index]:
            return self._around_insert(index)
        parts = self._parts.of(index)
        if not parts:
            end, bases = int(self._end[index]), int(self.bases[index])
            return [[end - bases, end]]
        if self.minus[index]:
            parts[-1][1] += int(self._upstream[index])
        else:
            parts[0][0] -= int(self._upstream[index])
        return parts

    def _around_insert(self, index: int) -> list[list[int]]:
        """The bases of the window of an alternate allele, before and after its insert."""
        start, end, length = self._windows[index].tolist()
        before = int(self._before[index])
        replaced = end - start - (length - len(self.insert[index]))
        if self.minus[index]:
            return [[start, end - before - replaced], [end - before, end]]
        return [[start, start + before], [start + before + replaced, end]]

    def tokens(self, bos: int) -> np.ndarray:
        """Tokens of each stretch that run, (m,): a fork has no BOS of its own."""
        return self.bases + np.where(self.parent < 0, bos, 0)

    def shared(self, bos: int) -> np.ndarray:
        """Tokens of its parent before each fork, (m,); 0 for other stretches."""
        return np.where(self.parent < 0, 0, self.fork + bos)

    def before_fork(self, index: int) -> int:
        """Bases of the window of a fork that are its parent's; 0 of another stretch."""
        return int(self._before[index]) if self.parent[index] >= 0 else 0


def count_bases(
    stretch: np.ndarray,
    context: np.ndarray,
    parent: np.ndarray | None = None,
    fork: np.ndarray | None = None,
) -> np.ndarray:
    """Bases of each stretch of a bundle that run, by its number, from columns of the chunk table:
    all, or of a fork those after its fork point.

    Parameters
    ----------
    stretch, context : ndarray of int64, (n,)
    parent, fork : ndarray of int64, (n,), optional
        The parent is -1 where a chunk has none. By default no chunk has one.
    """
    bases = np.zeros(int(stretch.max(initial=-1)) + 1, np.int64)
    if parent is not None:
        context = context - np.where(parent < 0, 0, fork)
    np.maximum.at(bases, stretch, context)
    return bases


class Numbering:
    """Numbers the stretches of a bundle from 0, contig after contig, in the order of their first
    windows that are kept: a stretch all of whose windows are skipped gets no number."""

    def __init__(self):
        self.count = 0
        self.numbers = np.empty(0, np.int64)  # by number in the contig; -1: none yet

    def begin_contig(self, most: int) -> None:
        """Begin a contig, whose stretches have numbers below `most`."""
        self.numbers = np.full(most, -1, np.int64)

    def number(self, stretch: np.ndarray) -> np.ndarray:
        """Numbers in the bundle from numbers in the contig, (n,)."""
        found, first = np.unique(stretch, return_index=True)
        is_new = self.numbers[found] < 0
        new = found[is_new][np.argsort(first[is_new])]
        self.numbers[new] = np.arange(self.count, self.count + len(new))
        self.count += len(new)
        return self.numbers[stretch]

    def known(self, stretch: np.ndarray) -> np.ma.MaskedArray:
        """Numbers in the bundle of stretches that have one, (n,); masked where `stretch` is -1."""
        return np.ma.array(self.numbers[stretch], mask=stretch < 0)
