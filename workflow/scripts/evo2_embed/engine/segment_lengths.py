"""Where the segments of a pack lie, from their lengths alone. Needs no torch."""

from functools import cached_property

import numpy as np

# Most tokens in a block.
BLOCK = 64
# Segments of one batch of the attention are at most this much shorter than its longest one.
_LIKE_LENGTH = 0.95
# Up to this length, segments share a batch whatever their lengths (tokens).
_SHORT = 32


class SegmentLengths:
    """The segments of a pack, end to end.

    Parameters
    ----------
    lengths : ndarray of int64, (S,)
        Tokens of each segment, at least 1.
    before : ndarray of int64, (S,), optional
        Tokens before each segment in its stretch; without it every segment begins one.

    Attributes
    ----------
    continued, fresh : ndarray of int64, (P,) and (S - P,)
        The segments that go on with a stretch, and those that begin one.
    """

    def __init__(self, lengths: np.ndarray, before: np.ndarray | None = None):
        self.lengths = lengths.astype(np.int64)
        self.before = np.zeros_like(self.lengths) if before is None else before
        self.continued, self.fresh = np.flatnonzero(self.before), np.flatnonzero(self.before == 0)
        self.ends = np.cumsum(self.lengths)
        self.starts = self.ends - self.lengths
        self.total = int(self.ends[-1])
        self.longest = int(self.lengths.max())
        self.uniform = self.longest == int(self.lengths.min())  # all of one length

    @cached_property
    def position(self) -> np.ndarray:
        """Place of each token in its segment, (T,)."""
        return np.arange(self.total) - np.repeat(self.starts, self.lengths)

    def middle(self) -> int:
        """The segment at which the pack falls into two parts of like size, at least one each."""
        return int(np.clip(np.searchsorted(self.ends, self.total / 2), 1, len(self.lengths) - 1))

    def block_size(self) -> int:
        """Tokens of a block: no more than the longest segment fills."""
        return min(BLOCK, 1 << (self.longest - 1).bit_length())

    def batches(self, members: np.ndarray) -> list[np.ndarray]:
        """Numbers of segments of like length, of these members, longest first, for a batch each.

        How many batches there are grows with the logarithm of the longest length only.
        """
        order = members[np.argsort(-self.lengths[members], kind="stable")]
        lengths = self.lengths[order]
        batches, first = [], 0
        while first < len(order):
            shortest = lengths[first] * _LIKE_LENGTH if lengths[first] > _SHORT else 1
            stop = int(np.searchsorted(-lengths, -shortest, side="right"))
            batches.append(np.sort(order[first:stop]))
            first = stop
        return batches

    def is_batch(self, members: np.ndarray) -> bool:
        """Whether these segments are of one length and neighbours: a batch as they lie."""
        lengths, starts = self.lengths[members], self.starts[members]
        return lengths.min() == lengths.max() and (np.diff(starts) == lengths[0]).all()
