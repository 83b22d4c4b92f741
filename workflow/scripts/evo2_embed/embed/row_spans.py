"""Rows and segments: which rows have tokens in a pack, and which packs run again after a kill."""

from dataclasses import dataclass

import numpy as np

from evo2_embed.embed.rows import ShardRows
from evo2_embed.pack.assign import edges_of


@dataclass(frozen=True)
class Spans:
    """Tokens of rows in one pack; a row has one span there at most.

    Attributes
    ----------
    row : ndarray of int64, (k,)
        Places of the rows in their final order.
    start, length : ndarray of int64, (k,)
        First token, and number of tokens, among those of the pack.
    ends : ndarray of bool, (k,)
        Whether the row's last token is among them.
    segment : ndarray of int64, (k,)
    """

    row: np.ndarray
    start: np.ndarray
    length: np.ndarray
    ends: np.ndarray
    segment: np.ndarray

    def of(self, segments: np.ndarray) -> "Spans":
        """The spans in some of the segments, a mask (S,)."""
        mine = segments[self.segment]
        return Spans(*(values[mine] for values in vars(self).values()))


class SegmentRows:
    """Where the rows of a shard lie in its stretches.

    Parameters
    ----------
    rows : ShardRows
    pooling : str or dict
    bos : int
        Tokens before the first base of a stretch.
    """

    def __init__(self, rows: ShardRows, pooling: str | dict, bos: int):
        self.rows, self.pooling = rows, pooling
        chunks = rows.segments
        last = chunks["context"] + bos
        lengths = chunks["end"] - chunks["start"]
        self.numbers, owner = np.unique(chunks["stretch"], return_inverse=True)
        tokens = np.zeros(len(self.numbers), np.int64)
        np.maximum.at(tokens, owner, last)
        self.base = edges_of(tokens)  # of stretches, end to end
        end = self.base[owner] + last
        self.order = np.argsort(end - lengths, kind="stable")
        self.start, self.end = (end - lengths)[self.order], end[self.order]
        self.farthest = np.maximum.accumulate(self.end)

    def spans(self, stretch: np.ndarray, offset: np.ndarray, cu_seqlens: np.ndarray) -> Spans:
        """The tokens of rows in a pack with these segments."""
        begin = self.base[np.searchsorted(self.numbers, stretch)] + offset
        stop = begin + np.diff(cu_seqlens)
        low = np.searchsorted(self.farthest, begin, side="right")
        high = np.maximum(np.searchsorted(self.start, stop), low)
        segment = np.repeat(np.arange(len(begin)), high - low)
        chunk = np.arange(len(segment)) - np.repeat(edges_of(high - low)[:-1] - low, high - low)
        begin, stop = begin[segment], stop[segment]
        # From the chunk's start on.
        first = np.maximum(begin, self.start[chunk]) - self.start[chunk]
        after = np.minimum(stop, self.end[chunk]) - self.start[chunk]
        met = after > first
        shift = cu_seqlens[segment] - begin + self.start[chunk]
        return self._rows(*(values[met] for values in (chunk, segment, first, after, shift)))

    def ended(self, stretch: np.ndarray, offset: np.ndarray, cu_seqlens: np.ndarray) -> np.ndarray:
        """Places of the rows whose last token is in a pack with these segments."""
        spans = self.spans(stretch, offset, cu_seqlens)
        return spans.row[spans.ends]

    def _rows(
        self,
        chunk: np.ndarray,
        segment: np.ndarray,
        first: np.ndarray,
        after: np.ndarray,
        shift: np.ndarray,
    ) -> Spans:
        """Spans of the rows of chunks whose tokens [first, after) are in the pack, `shift` on."""
        lengths = (self.end - self.start)[chunk]
        size = (
            np.full(len(chunk), self.pooling["bin"]) if isinstance(self.pooling, dict) else lengths
        )
        if self.pooling == "last":
            # Only the last token matters.
            first = np.where(after == lengths, lengths - 1, after)
        number = np.where(after > first, -(-after // size) - first // size, 0)
        bins = np.arange(number.sum()) - np.repeat(edges_of(number)[:-1], number)
        chunk, segment, first, after, shift, size, lengths = (
            np.repeat(values, number)
            for values in (chunk, segment, first, after, shift, size, lengths)
        )
        bins += first // size
        end = np.minimum((bins + 1) * size, lengths)
        begin = np.maximum(bins * size, first)
        row = self.rows.place(self.order[chunk], bins)
        length = np.minimum(end, after) - begin
        return Spans(row, shift + begin, length, end <= after, segment)


def wanted_segments(stretches: dict[int, np.ndarray], done: set[int]) -> dict[int, np.ndarray]:
    """The packs that have to run, and which of their segments, when some packs' rows are stored.

    A segment needs those before it in its stretch, so a stretch whose rows are not all stored
    restarts from its first base.

    Parameters
    ----------
    stretches : dict of int to ndarray, (S,)
        By number of a pack, in order, the stretches of its segments.
    done : set of int
        Packs whose rows are stored.

    Returns
    -------
    dict of int to ndarray of bool, (S,)
    """
    last = {}
    for pack, members in stretches.items():
        if pack not in done:
            last.update(dict.fromkeys(members.tolist(), pack))
    wanted = {
        pack: np.array([last.get(member, -1) >= pack for member in members.tolist()])
        for pack, members in stretches.items()
    }
    return {pack: segments for pack, segments in wanted.items() if segments.any()}
