"""Whole sequences to packs or padded batches, by their lengths alone."""

import numpy as np


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
