"""Where the segments of a pack start and end, from their lengths alone. Needs no torch."""

from functools import cached_property

import numpy as np

# Most tokens per block.
BLOCK = 64
# In a batch of the attention, the shortest segment has at least this share of the longest one.
_SIMILAR_LENGTH = 0.95
# Up to this length (tokens), segments share a batch whatever their lengths.
_SHORT = 32


class SegmentLengths:
    """The segments of a pack, end to end.

    Parameters
    ----------
    lengths : ndarray of int64, (S,)
        Tokens of each segment, at least 1.
    offset : ndarray of int64, (S,), optional
        Tokens before each segment in its stretch; by default every segment begins a stretch.

    Attributes
    ----------
    continued, fresh : ndarray of int64, (P,) and (S - P,)
        The segments that continue a stretch, and those that begin one.
    """

    def __init__(self, lengths: np.ndarray, offset: np.ndarray | None = None):
        self.lengths = lengths.astype(np.int64)
        self.offset = np.zeros_like(self.lengths) if offset is None else offset
        self.continued, self.fresh = np.flatnonzero(self.offset), np.flatnonzero(self.offset == 0)
        self.ends = np.cumsum(self.lengths)
        self.starts = self.ends - self.lengths
        self.total = int(self.ends[-1])
        self.longest = int(self.lengths.max())
        self.uniform = self.longest == int(self.lengths.min())  # all of one length

    @cached_property
    def position(self) -> np.ndarray:
        """Position of each token in its segment, (T,)."""
        return np.arange(self.total) - np.repeat(self.starts, self.lengths)

    def middle(self) -> int:
        """The segment at which the pack is best cut into two halves, at least one segment each."""
        return int(np.clip(np.searchsorted(self.ends, self.total / 2), 1, len(self.lengths) - 1))

    def block_size(self) -> int:
        """Tokens per block: no more than the longest segment fills."""
        return min(BLOCK, 1 << (self.longest - 1).bit_length())

    def batches(self, members: np.ndarray) -> list[np.ndarray]:
        """Divide these segments into batches of similar length, longest first.

        The number of batches grows only with the logarithm of the longest length.

        Returns
        -------
        list of ndarray of int64
            The segments of each batch, in ascending order.
        """
        order = members[np.argsort(-self.lengths[members], kind="stable")]
        lengths = self.lengths[order]
        batches, first = [], 0
        while first < len(order):
            shortest = lengths[first] * _SIMILAR_LENGTH if lengths[first] > _SHORT else 1
            stop = int(np.searchsorted(-lengths, -shortest, side="right"))
            batches.append(np.sort(order[first:stop]))
            first = stop
        return batches

    def is_batch(self, members: np.ndarray) -> bool:
        """Whether these segments are neighbours of one length, so that a view is their batch."""
        lengths, starts = self.lengths[members], self.starts[members]
        return lengths.min() == lengths.max() and (np.diff(starts) == lengths[0]).all()
