"""Stretches to packs or padded batches, whole or in segments, by their lengths alone.

Example, continued from `chunk.stretches`: three windows form a stretch of 10 bases and one of 8.
With `max_tokens: 6`, `piece: 4` and no BOS, both are too long for one segment. They run in three
packs of two segments. In pack 0, after 4 tokens of stretch 0, there is room for 2 of stretch 1:

>>> segments = assign_stretches(np.array([10, 8]), Packing(max_tokens=6, piece=4))
>>> segments.edges.tolist()
[0, 2, 4, 6]
>>> np.array([segments.stretch, segments.offset, segments.length, segments.remaining])
array([[0, 1, 0, 1, 0, 1],
       [0, 0, 4, 2, 8, 4],
       [4, 2, 4, 2, 2, 4],
       [6, 6, 2, 4, 0, 0]])

A segment needs the state that the earlier segments of its stretch left. So a stretch has at most
one segment in a pack.

A fork begins inside another stretch, its parent, after tokens that both have in common. It starts
from the parent's state there, so it begins in a later pack. Here stretch 1 is a fork of stretch 0
after 3 tokens, with 4 tokens of its own:

>>> forks = Forks(parent=np.array([-1, 0]), offset=np.array([0, 3]))
>>> segments = assign_stretches(np.array([5, 4]), Packing(max_tokens=6, piece=6), forks)
>>> segments.edges.tolist()
[0, 1, 2]
>>> np.array([segments.stretch, segments.offset, segments.length, segments.parent])
array([[ 0,  1],
       [ 0,  3],
       [ 5,  4],
       [-1,  0]])
"""

from collections import Counter, deque
from dataclasses import dataclass, replace

import numpy as np

from evo2_embed.io.parts import edges_of
from evo2_embed.pack.fit import first_fit, padded_batches
from evo2_embed.settings.jobs import Packing

# Per so many tokens of a pack, the state of one fork point may wait for its forks. A state takes
# about as much memory as a few hundred tokens of a pack.
TOKENS_PER_STATE = 256


@dataclass(frozen=True)
class Assignment:
    """The segments of all packs, in the order of the packs.

    Attributes
    ----------
    edges : ndarray of int64, (P + 1,)
        Pack p has the segments `edges[p]` to `edges[p + 1]`.
    stretch : ndarray of int64, (S,)
        Index of the stretch of each segment.
    offset, length, remaining : ndarray of int64, (S,)
        Tokens of the stretch before, in and after the segment; of a fork's those before count from
        the start of its parent.
    parent : ndarray of int64, (S,)
        Index of the parent of a fork whose first segment this is; -1 for all others.
    """

    edges: np.ndarray
    stretch: np.ndarray
    offset: np.ndarray
    length: np.ndarray
    remaining: np.ndarray
    parent: np.ndarray

    @property
    def n_packs(self) -> int:
        """Number of packs."""
        return len(self.edges) - 1


@dataclass(frozen=True)
class Forks:
    """Which stretches are forks.

    Attributes
    ----------
    parent : ndarray of int64, (n,)
        Index of the stretch that each one begins in; -1 for one that is no fork.
    offset : ndarray of int64, (n,)
        Tokens of the parent before the fork, BOS included; 0 for a stretch that is no fork.
    """

    parent: np.ndarray
    offset: np.ndarray

    @staticmethod
    def none(n: int) -> "Forks":
        """n stretches that are no forks."""
        return Forks(np.full(n, -1), np.zeros(n, np.int64))

    def fault(self, lengths: np.ndarray, numbers: np.ndarray) -> str | None:
        """What is wrong: a parent that is a fork, or a fork point that is not in it.

        Parameters
        ----------
        lengths, numbers : ndarray of int64, (n,)
            Tokens of all stretches, and their numbers.
        """
        child = np.flatnonzero(self.parent >= 0)
        parent, offset = self.parent[child], self.offset[child]
        for bad, fault in (
            (self.parent[parent] >= 0, "is a fork, too, and a fork cannot have forks"),
            ((offset < 1) | (offset > lengths[parent]), "has not so many, or none"),
        ):
            if bad.any():
                first = int(bad.argmax())
                return (
                    f"stretch {numbers[child[first]]} begins after {offset[first]} tokens of "
                    f"stretch {numbers[parent[first]]}, which {fault}"
                )
        return None

    def points(self) -> dict[int, deque[tuple[int, list[int]]]]:
        """By parent, in the order of its tokens, the tokens before each fork point and the forks
        that begin there."""
        found: dict[int, deque[tuple[int, list[int]]]] = {}
        child = np.flatnonzero(self.parent >= 0)
        order = child[np.lexsort((self.offset[child], self.parent[child]))]
        columns = order, self.parent[order], self.offset[order]
        for fork, parent, offset in zip(*(column.tolist() for column in columns), strict=True):
            points = found.setdefault(parent, deque())
            if not points or points[-1][0] != offset:
                points.append((offset, []))
            points[-1][1].append(fork)
        return found


def assign_stretches(
    lengths: np.ndarray, packing: Packing, forks: Forks | None = None
) -> Assignment:
    """Put stretches into packs: whole if all are short enough for that, else in segments.

    Parameters
    ----------
    lengths : ndarray of int64, (n,)
        Tokens of each stretch, BOS included; of a fork those after its fork point.
    packing : Packing
    forks : Forks, optional
        By default no stretch is a fork.
    """
    budget, longest = packing.max_tokens, packing.piece
    if lengths.max(initial=0) > longest or (forks and (forks.parent >= 0).any()):
        return cut_segments(lengths, longest, budget, forks)
    fit = first_fit if packing.strategy == "packed" else padded_batches
    packs = fit(lengths, budget)
    stretch = np.concatenate([np.empty(0, np.int64), *packs])
    zeros = np.zeros(len(stretch), np.int64)
    return Assignment(
        edges_of([len(pack) for pack in packs]), stretch, zeros, lengths[stretch], zeros, zeros - 1
    )


def cut_segments(
    lengths: np.ndarray, longest: int, max_tokens: int, forks: Forks | None = None
) -> Assignment:
    """Cut stretches into segments and put these into packs.

    A pack takes a segment of every open stretch, in the order in which they were opened. Then it
    opens more stretches, the longest first, until it is full. Forks begin in the order of their
    fork points (`_Queue.take`). If a segment can fill a pack, at most one stretch is open at
    a time, so the stretches run in their own order, end to end.

    Parameters
    ----------
    lengths : ndarray of int64, (n,)
        Tokens of each stretch, BOS included; of a fork those after its fork point.
    longest, max_tokens : int
        Maximum tokens of a segment, and of a pack.
    forks : Forks, optional
        By default no stretch is a fork.
    """
    forks = forks or Forks.none(len(lengths))
    # The longest need the most packs: begun last, they would run on alone in nearly empty packs.
    order = np.argsort(-lengths, kind="stable") if longest < max_tokens else np.arange(len(lengths))
    queue = _Queue(lengths, order, forks, max_tokens)
    segments, counts = [], []
    while queue.begin_pack():
        room, first = max_tokens, len(segments)
        while room and (stretch := queue.take()) is not None:
            before, length = queue.run(stretch, min(longest, room))
            segments.append((stretch, before, length))
            room -= length
        counts.append(len(segments) - first)
    stretch, before, length = np.array(segments, np.int64).reshape(-1, 3).T
    parent = np.where(before == 0, forks.parent[stretch], -1)
    remaining = lengths[stretch] - before - length
    offset = before + forks.offset[stretch]
    return Assignment(edges_of(counts), stretch, offset, length, remaining, parent)


class _Queue:
    """The stretches that can run, in the order in which packs take them.

    Parameters
    ----------
    lengths, order : ndarray of int64, (n,)
        Tokens of each stretch, and the order in which those that are no forks are opened.
    forks : Forks
    max_tokens : int
        Of a pack.
    """

    def __init__(self, lengths: np.ndarray, order: np.ndarray, forks: Forks, max_tokens: int):
        self.lengths, self.max_tokens = lengths.tolist(), max_tokens
        self.most = max(1, max_tokens // TOKENS_PER_STATE)  # states that may wait
        self.unopened = deque(order[forks.parent[order] < 0].tolist())
        self.points = forks.points()
        self.done: dict[int, int] = {}  # of open stretches, tokens in earlier segments
        # Open stretches that are not in this pack yet: those without further fork points, and those
        # with some. Then those that are open after this pack.
        self.open: deque[int] = deque()
        self.parents: deque[int] = deque()
        self.later: list[int] = []
        self.ready: deque[int] = deque()  # forks that can begin in this pack
        self.born: list[int] = []  # and in the next one
        # By fork that has not begun, its fork point; by fork point, how many of these; all their
        # tokens.
        self.point_of: dict[int, tuple[int, int]] = {}
        self.waiting: Counter[tuple[int, int]] = Counter()
        self.waiting_tokens = 0

    def begin_pack(self) -> bool:
        """Whether there is another pack, which is begun."""
        still = [*self.later, *self.open, *self.parents]
        self.open = deque(stretch for stretch in still if not self.points.get(stretch))
        self.parents = deque(stretch for stretch in still if self.points.get(stretch))
        self.ready.extend(self.born)
        self.later, self.born = [], []
        return bool(still or self.ready or self.unopened)

    def take(self) -> int | None:
        """The next stretch of a pack.

        Parents run ahead of their forks, until the forks that wait could fill a pack.
        """
        if self.open:
            return self.open.popleft()
        left = self.most - len(self.waiting)
        ahead = left > self.most // 2 and self.waiting_tokens < self.max_tokens
        if ahead or not self.ready:
            if self.parents and left:
                return self.parents.popleft()
            if self.unopened and (left or self.unopened[0] not in self.points):
                return self.unopened.popleft()
        return self.ready.popleft() if self.ready else None

    def run(self, stretch: int, most: int) -> tuple[int, int]:
        """Run at most this many tokens of a stretch; its tokens before, and how many ran."""
        before = self.done.pop(stretch, 0)
        if stretch in self.point_of:
            self._begin(stretch)
        points, left = self.points.get(stretch, ()), self.most - len(self.waiting)
        if left < len(points):
            most = min(most, points[left][0] - 1 - before)
        length = min(most, self.lengths[stretch] - before)
        while points and points[0][0] <= before + length:
            offset, members = points.popleft()
            self.born += members
            self.point_of |= dict.fromkeys(members, (stretch, offset))
            self.waiting[stretch, offset] = len(members)
            self.waiting_tokens += sum(self.lengths[member] for member in members)
        if before + length < self.lengths[stretch]:
            self.done[stretch] = before + length
            self.later.append(stretch)
        return before, length

    def _begin(self, fork: int) -> None:
        """Begin a fork, which then waits no longer."""
        point = self.point_of.pop(fork)
        self.waiting[point] -= 1
        if not self.waiting[point]:
            del self.waiting[point]
        self.waiting_tokens -= self.lengths[fork]


def padded_tokens(lengths: np.ndarray, packing: Packing) -> int:
    """Tokens with padding, if each stretch (or segment) were padded to the longest of its batch.

    Parameters
    ----------
    lengths : ndarray of int64, (n,)
        Tokens of each stretch, BOS included.
    packing : Packing
    """
    if not len(lengths):
        return 0
    segments = assign_stretches(lengths, replace(packing, strategy="padded"))
    longest = np.maximum.reduceat(segments.length, segments.edges[:-1])
    return int((longest * np.diff(segments.edges)).sum())
