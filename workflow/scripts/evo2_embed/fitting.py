"""Segments to packs and batches by their lengths alone."""

import numpy as np


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


def padded_tokens(lengths: np.ndarray, batches: list[np.ndarray]) -> int:
    """Tokens of batches when each is padded to its longest segment."""
    return sum(len(batch) * int(lengths[batch].max()) for batch in batches)
