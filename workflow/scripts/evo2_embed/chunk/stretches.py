"""Stretches: consecutive bases of a contig's strand that run through the model as one sequence.

A window lies in one stretch, and sees what lies before it there. A place on a strand is counted in
the direction of the strand, from its own start: on `-`, from the contig's right end.
"""

import numpy as np


def place_windows(
    starts: np.ndarray, ends: np.ndarray, strands: np.ndarray, length: int, context: dict
) -> tuple[np.ndarray, np.ndarray]:
    """Put the windows of a contig, on one or both strands, into stretches.

    Parameters
    ----------
    starts, ends : ndarray of int64, (n,)
        0-based and half-open, on the forward strand.
    strands : ndarray of str, (n,)
    length : int
        Bases of the contig.
    context : dict
        `windows.context` of the configuration: `span` and `min`. With `span: size` every window is
        a stretch of its own.

    Returns
    -------
    stretch, context : ndarray of int64, (n,)
        Number of each window's stretch in the contig, and the bases of the stretch up to the
        window's end, the window's own included.
    """
    if context["span"] == "size":
        return np.arange(len(starts)), ends - starts
    stretch, seen = np.empty((2, len(starts)), np.int64)
    first = 0
    for strand in "+-":
        mine = np.flatnonzero(strands == strand)
        span = (starts[mine], ends[mine])
        begin, end = span if strand == "+" else (length - span[1], length - span[0])
        stretch[mine], origin = cut_stretches(begin, end, context["span"], context["min"])
        stretch[mine] += first
        seen[mine] = end - origin
        first += len(mine)
    return stretch, seen


def cut_stretches(
    starts: np.ndarray, ends: np.ndarray, span: int, least: int
) -> tuple[np.ndarray, np.ndarray]:
    """Cut the windows of one strand of a contig into stretches.

    In the order of their starts, the first window that is in none begins a stretch: at the strand's
    start if the window ends within `span`, else `least` bases before the window. The stretch takes
    the windows that follow, up to the first that ends more than `span` behind its start.

    Parameters
    ----------
    starts, ends : ndarray of int64, (n,)
        Places on the strand, in any order.
    span, least : int
        Most bases from a stretch's start to the end of one of its windows, and fewest from there
        to the start of its first window, but for a stretch that begins at the strand's start. A
        window and `least` bases have to fit into `span`.

    Returns
    -------
    stretch, origin : ndarray of int64, (n,)
        Number of each window's stretch, from 0, and the place where that begins.
    """
    order = np.lexsort((ends, starts))
    begin, end = starts[order], ends[order]
    edges, origins = [0], []
    while (row := edges[-1]) < len(order):
        origins.append(0 if end[row] <= span else max(0, int(begin[row]) - least))
        limit = origins[-1] + span
        # None that starts at the limit or behind it ends within.
        some = end[row : np.searchsorted(begin, limit)] > limit
        over = int(some.argmax())
        edges.append(row + (over if some[over] else len(some)))
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
        `start`, `end`, `stretch`, `context` and `minus` (whether on the strand `-`) of the chunks
        of stretches with consecutive numbers.

    Attributes
    ----------
    order : ndarray, (n,)
        The chunks by stretch, and in a stretch by where they end in its direction.
    edges : ndarray, (m + 1,)
        Stretch i has the chunks `order[edges[i]:edges[i + 1]]`.
    number, start, end : ndarray of int64, (m,)
        The stretches' numbers, and the bases that are run: on the forward strand, up to the end of
        the last chunk.
    """

    def __init__(self, chunks: dict[str, np.ndarray]):
        stretch, context = chunks["stretch"], chunks["context"]
        self.order = np.lexsort((context, stretch))
        self.number, first = np.unique(stretch[self.order], return_index=True)
        self.edges = np.append(first, len(stretch))
        last = self.order[self.edges[1:] - 1]
        minus, bases = chunks["minus"][last], context[last]
        self.end = np.where(minus, chunks["start"][last] + bases, chunks["end"][last])
        self.start = self.end - bases

    @property
    def bases(self) -> np.ndarray:
        """Bases that each stretch runs, (m,)."""
        return self.end - self.start


def count_bases(stretch: np.ndarray, context: np.ndarray) -> np.ndarray:
    """Bases that every stretch of a bundle runs, from the columns of its chunk table."""
    bases = np.zeros(int(stretch.max(initial=-1)) + 1, np.int64)
    np.maximum.at(bases, stretch, context)
    return bases


class Numbering:
    """Numbers stretches of one contig after another, from 0, as their windows are met."""

    def __init__(self):
        self.count = 0
        self.numbers = np.empty(0, np.int64)

    def begin_contig(self, stretches: int) -> None:
        """Begin with a contig that has at most so many stretches."""
        self.numbers = np.full(stretches, -1, np.int64)

    def number(self, stretch: np.ndarray) -> np.ndarray:
        """Numbers of stretches; those that were not met before get the next ones, in order."""
        found, where = np.unique(stretch, return_index=True)
        new = found[self.numbers[found] < 0]
        new = new[np.argsort(where[self.numbers[found] < 0])]
        self.numbers[new] = np.arange(self.count, self.count + len(new))
        self.count += len(new)
        return self.numbers[stretch]
