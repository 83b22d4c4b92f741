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
one segment in a pack, and one in every pack from its first to its last.
"""

from dataclasses import dataclass, replace
from itertools import chain

import numpy as np

from evo2_embed.io.parts import edges_of
from evo2_embed.settings.sections import Packing


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
        Tokens of the stretch before, in and after the segment.
    """

    edges: np.ndarray
    stretch: np.ndarray
    offset: np.ndarray
    length: np.ndarray
    remaining: np.ndarray

    @property
    def n_packs(self) -> int:
        """Number of packs."""
        return len(self.edges) - 1


def assign_stretches(lengths: np.ndarray, packing: Packing) -> Assignment:
    """Put stretches into packs: whole if all are short enough for that, else in segments.

    Parameters
    ----------
    lengths : ndarray of int64, (n,)
        Tokens of each stretch, BOS included.
    packing : Packing
    """
    budget, longest = packing.max_tokens, packing.piece
    if lengths.max(initial=0) > longest:
        return cut_segments(lengths, longest, budget)
    fit = first_fit if packing.strategy == "packed" else padded_batches
    packs = fit(lengths, budget)
    stretch = np.concatenate([np.empty(0, np.int64), *packs])
    zeros = np.zeros(len(stretch), np.int64)
    return Assignment(
        edges_of([len(pack) for pack in packs]), stretch, zeros, lengths[stretch], zeros
    )


def cut_segments(lengths: np.ndarray, longest: int, max_tokens: int) -> Assignment:
    """Cut stretches into segments and put these into packs.

    A pack takes a segment of every open stretch, in the order in which they were opened. Then it
    opens more stretches, the longest first, until it is full. If a segment can fill a pack, at most
    one stretch is open at a time, so the stretches run in their own order, end to end.

    Parameters
    ----------
    lengths : ndarray of int64, (n,)
        Tokens of each stretch, BOS included.
    longest, max_tokens : int
        Maximum tokens of a segment, and of a pack.
    """
    # The longest need the most packs: begun last, they would run on alone in nearly empty packs.
    order = np.argsort(-lengths, kind="stable") if longest < max_tokens else np.arange(len(lengths))
    unopened = iter(zip(order.tolist(), lengths[order].tolist(), strict=True))
    open_stretches: list[tuple[int, int]] = []  # stretch, and how many of its tokens remain
    segments, counts = [], []
    while True:
        room, still_open, first = max_tokens, [], len(segments)
        for stretch, tokens in chain(open_stretches, unopened):
            length = min(longest, tokens, room)
            segments.append((stretch, length, tokens - length))
            room -= length
            if tokens > length:
                still_open.append((stretch, tokens - length))
            if not room:
                break
        if len(segments) == first:
            break
        # Only the last of them was cut short by the pack, so there is room for each in the next.
        open_stretches = still_open
        counts.append(len(segments) - first)
    stretch, length, remaining = np.array(segments, np.int64).reshape(-1, 3).T
    offset = lengths[stretch] - length - remaining
    return Assignment(edges_of(counts), stretch, offset, length, remaining)


def first_fit(lengths: np.ndarray, max_tokens: int) -> list[np.ndarray]:
    """Put sequences into packs: longest first, each into the first pack that has room.

    Sequences of one length keep their order, so that neighbours on a contig share a pack.

    Parameters
    ----------
    lengths : ndarray of int64, (n,)
        Tokens of each sequence, BOS included.
    max_tokens : int
        Maximum tokens in a pack.

    Returns
    -------
    list of ndarray
        Indices of the sequences of each pack, longest first.
    """
    order = np.argsort(-lengths, kind="stable")
    values, counts = np.unique(lengths, return_counts=True)
    room = np.full(len(lengths), max_tokens, np.int64)  # by pack; packs from `n_packs` on are empty
    n_packs, chosen = 0, []
    # All sequences of one length at once: time grows with the number of lengths, not of sequences.
    for length, count in zip(values[::-1].tolist(), counts[::-1].tolist(), strict=True):
        fits = room[:n_packs] // length
        per_pack = max_tokens // length
        new_packs = -(-max(count - int(fits.sum()), 0) // per_pack)
        fits = np.append(fits, np.full(new_packs, per_pack))
        n_packs += new_packs
        pack = np.repeat(np.arange(n_packs), fits)[:count]
        room[:n_packs] -= length * np.bincount(pack, minlength=n_packs)
        chosen.append(pack)
    if not chosen:
        return []
    packs = np.concatenate(chosen)
    members = order[np.argsort(packs, kind="stable")]
    return np.split(members, np.cumsum(np.bincount(packs, minlength=n_packs))[:-1])


def padded_batches(lengths: np.ndarray, max_tokens: int) -> list[np.ndarray]:
    """Put sequences, in their order, into batches.

    A batch ends before its sequences, padded to the longest of them, would exceed `max_tokens`.
    """
    batches: list[np.ndarray] = []
    start, longest = 0, 0
    for index, length in enumerate(lengths.tolist()):
        if (index + 1 - start) * max(longest, length) > max_tokens:
            batches.append(np.arange(start, index))
            start, longest = index, 0
        longest = max(longest, length)
    if len(lengths):
        batches.append(np.arange(start, len(lengths)))
    return batches


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
