"""Stretches to packs, whole or in pieces, and to batches, by their lengths alone."""

from dataclasses import dataclass
from itertools import chain

import numpy as np


@dataclass(frozen=True)
class Pieces:
    """Pieces of stretches, pass after pass.

    Attributes
    ----------
    edges : ndarray, (passes + 1,)
        Pass p has the pieces `edges[p]` to `edges[p + 1]`.
    stretch, position, length, left : ndarray of int64, (pieces,)
        Index of a piece's stretch; tokens of that in earlier passes, in this piece, in later ones.
    """

    edges: np.ndarray
    stretch: np.ndarray
    position: np.ndarray
    length: np.ndarray
    left: np.ndarray

    @property
    def n_passes(self) -> int:
        """Number of passes."""
        return len(self.edges) - 1


def fit_stretches(lengths: np.ndarray, packing: dict) -> Pieces:
    """Put stretches into passes: whole where each of them fits into a piece, else piece by piece.

    Parameters
    ----------
    lengths : ndarray, (n,)
        Tokens of each stretch, BOS included.
    packing : dict
        The section of the configuration.
    """
    budget, piece = packing["max_tokens"], packing["piece"]
    if lengths.max(initial=0) > piece:
        return cut_pieces(lengths, piece, budget)
    fit = first_fit if packing["strategy"] == "packed" else padded_batches
    packs = fit(lengths, budget)
    stretch = np.concatenate([np.empty(0, np.int64), *packs])
    none = np.zeros(len(stretch), np.int64)
    return Pieces(edges_of([len(pack) for pack in packs]), stretch, none, lengths[stretch], none)


def cut_pieces(lengths: np.ndarray, piece: int, max_tokens: int) -> Pieces:
    """Cut stretches into pieces, and put these into passes.

    A pass takes a piece from every stretch that is open, in the order in which they were opened;
    then it opens others, the longest first, until it is full. With `piece` as large as a pass
    there is at most one open, so they run in their own order, end to end.

    Parameters
    ----------
    lengths : ndarray, (n,)
        Tokens of each stretch, BOS included.
    piece, max_tokens : int
        Most tokens of a stretch in a pass, and of a pass.
    """
    order = np.argsort(-lengths, kind="stable") if piece < max_tokens else np.arange(len(lengths))
    coming = iter(zip(order.tolist(), lengths[order].tolist(), strict=True))
    waiting: list[tuple[int, int]] = []  # stretches that are open, and what is left of each
    pieces, counts = [], []
    while True:
        room, opened, first = max_tokens, [], len(pieces)
        for stretch, left in chain(waiting, coming):
            taken = min(piece, left, room)
            pieces.append((stretch, taken, left - taken))
            room -= taken
            if left > taken:
                opened.append((stretch, left - taken))
            if not room:
                break
        if len(pieces) == first:
            break
        waiting = opened + waiting[len(pieces) - first :]
        counts.append(len(pieces) - first)
    stretch, length, left = np.array(pieces, np.int64).reshape(-1, 3).T
    return Pieces(edges_of(counts), stretch, lengths[stretch] - length - left, length, left)


def edges_of(counts) -> np.ndarray:
    """Where things of these sizes start and end when they lie end to end, from 0."""
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])


def first_fit(lengths: np.ndarray, max_tokens: int) -> list[np.ndarray]:
    """Put segments into packs: longest first, each into the first pack that has room.

    Segments of one length keep their order, so that neighbours on a contig share a pack. They are
    placed all at once, so that time grows with the number of lengths, not with that of segments.

    Parameters
    ----------
    lengths : ndarray, (n,)
        Tokens of each segment, BOS included.
    max_tokens : int
        Most tokens in a pack.

    Returns
    -------
    list of ndarray
        For each pack the numbers of its segments, longest first.
    """
    order = np.argsort(-lengths, kind="stable")
    values, counts = np.unique(lengths, return_counts=True)
    room = np.full(len(lengths), max_tokens, np.int64)  # of packs; the ones behind are not begun
    begun, places = 0, []
    for length, count in zip(values[::-1].tolist(), counts[::-1].tolist(), strict=True):
        fits = room[:begun] // length
        held = int(fits.sum())
        more = -(-max(count - held, 0) // (max_tokens // length))
        fits = np.append(fits, np.full(more, max_tokens // length))
        begun += more
        place = np.repeat(np.arange(begun), fits)[:count]
        room[:begun] -= length * np.bincount(place, minlength=begun)
        places.append(place)
    if not places:
        return []
    packs = np.concatenate(places)
    members = order[np.argsort(packs, kind="stable")]
    return np.split(members, np.cumsum(np.bincount(packs, minlength=begun))[:-1])


def padded_batches(lengths: np.ndarray, max_tokens: int) -> list[np.ndarray]:
    """Batches of segments in their order, each closed before padding it to its longest segment
    would cost more than `max_tokens`."""
    batches: list[np.ndarray] = []
    start, longest = 0, 0
    for segment, length in enumerate(lengths.tolist()):
        if (segment + 1 - start) * max(longest, length) > max_tokens:
            batches.append(np.arange(start, segment))
            start, longest = segment, 0
        longest = max(longest, length)
    if len(lengths):
        batches.append(np.arange(start, len(lengths)))
    return batches


def padded_tokens(lengths: np.ndarray, packing: dict) -> int:
    """Tokens of stretches when they are padded to the longest of their batch, in order; of the
    passes of those that run in pieces, when each is padded to its longest piece.

    Parameters
    ----------
    lengths : ndarray, (n,)
        Tokens of each stretch, BOS included.
    packing : dict
        The section of the configuration.
    """
    if not len(lengths):
        return 0
    pieces = fit_stretches(lengths, {**packing, "strategy": "padded"})
    longest = np.maximum.reduceat(pieces.length, pieces.edges[:-1])
    return int((longest * np.diff(pieces.edges)).sum())
