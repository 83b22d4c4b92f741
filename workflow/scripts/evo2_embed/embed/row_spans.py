"""Which tokens of a pack belong to which rows.

A segment may be only a part of its stretch, so a pack may hold only a part of a row. Three windows
of 4 bases, one every 2 bases, in a stretch that runs in two packs (pooling `mean`, no BOS):

    base      0 1 2 3 4 5 6 7
    row 0     # # # #
    row 1         # # # #
    row 2             # # # #
    pack 0    0 1 2 3 4              offset 0, 5 tokens
    pack 1              0 1 2        offset 5, 3 tokens

    pack  row  start  length  ends
    0     0    0      4       True
    0     1    2      3       False
    0     2    4      1       False
    1     1    0      1       True
    1     2    0      3       True

`pooling.Pooler` keeps rows 1 and 2 between the two packs.
"""

from dataclasses import dataclass

import numpy as np

from evo2_embed.embed.rows import ShardRows, first_bins, pooled_tokens
from evo2_embed.pack.assign import edges_of
from evo2_embed.settings.extraction import SCORES, bin_of

# Which tokens of a row.
POOLED, WHOLE, DOWNSTREAM = "pooled", "whole", "downstream"


def tokens_of(column: str) -> tuple[str, str]:
    """The layer, or `scores`, whose tokens give a column of rows, and which of its tokens."""
    output = column.removesuffix(f".{DOWNSTREAM}")
    if output != column:
        return output, DOWNSTREAM
    return output, WHOLE if output == SCORES else POOLED


@dataclass(frozen=True)
class RowSpans:
    """Tokens of rows in one pack: k spans, at most one per row.

    Attributes
    ----------
    row_index : ndarray of int64, (k,)
        Indices of the rows in their final order.
    start, length : ndarray of int64, (k,)
        First token of the span among the tokens of the pack, and number of tokens.
    ends : ndarray of bool, (k,)
        Whether the span holds the row's last token.
    segment : ndarray of int64, (k,)
        Segment of the pack that the span is in.
    """

    row_index: np.ndarray
    start: np.ndarray
    length: np.ndarray
    ends: np.ndarray
    segment: np.ndarray

    def of(self, segments: np.ndarray) -> "RowSpans":
        """The spans in some of the segments: a mask, (S,)."""
        mine = segments[self.segment]
        return RowSpans(*(values[mine] for values in vars(self).values()))


class RowLocator:
    """Finds the rows of a shard in its packs.

    Spans are those of the tokens that are pooled, of all tokens of the rows (`WHOLE`), or of those
    from the variant on (`DOWNSTREAM`; of rows that are not of variants all).

    All stretches of the shard are laid end to end on one axis of tokens. On it every chunk has a
    start and an end, and so has every segment. A chunk of a fork has two intervals: the tokens that
    the fork shares with its parent are the parent's, the others its own.

    Parameters
    ----------
    rows : ShardRows
    pooling : str or dict
    bos : int
        Tokens before the first base of a stretch: 0 or 1.
    forks : ndarray of int64, (F, 3), optional
        `read.forks_in` the shard. By default it has none.
    """

    def __init__(
        self, rows: ShardRows, pooling: str | dict, bos: int, forks: np.ndarray | None = None
    ):
        self.rows, self.pooling = rows, pooling
        chunks = rows.chunks
        last = chunks["context"] + bos  # tokens of the stretch up to the chunk's end
        lengths = chunks["bases"]
        self.stretches, owner = np.unique(chunks["stretch"], return_inverse=True)
        tokens = np.zeros(len(self.stretches), np.int64)
        np.maximum.at(tokens, owner, last)
        self.base = edges_of(tokens)  # start of each stretch on the axis
        # Intervals: their chunk, where it begins, and how many of its tokens they have. No segment
        # of a fork has the first ones, which are its parent's.
        chunk, origin = np.arange(len(owner)), self.base[owner] + last - lengths
        high = lengths
        if forks is not None and len(forks):
            mine, parent, shared = self._shared(forks, last - lengths)
            chunk = np.append(chunk, mine)
            origin = np.append(origin, self.base[parent] + (last - lengths)[mine])
            high = np.append(high, shared)
        # Sorted by their start on the axis.
        order = np.argsort(origin, kind="stable")
        self.chunk, self.start, self.high = (values[order] for values in (chunk, origin, high))
        self.farthest = np.maximum.accumulate(self.start + self.high)
        self.lengths = lengths
        bins, begin = bin_of(pooling), np.zeros_like(lengths)
        if bins:
            begin = first_bins(lengths, bins, rows.skipped) * bins
        self.tokens = {
            POOLED: pooled_tokens(lengths, chunks["strand"], pooling, rows.skipped),
            WHOLE: (begin, lengths),
            DOWNSTREAM: (rows.upstream, lengths),
        }

    def _shared(
        self, forks: np.ndarray, start: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Chunks that share tokens with the parents of their stretches, the indices of those, and
        how many tokens they share.

        Parameters
        ----------
        start : ndarray of int64, (n,)
            Tokens of the stretch before each chunk.
        """
        forks = forks[np.argsort(forks[:, 0])]
        stretch = self.rows.chunks["stretch"]
        row = np.minimum(np.searchsorted(forks[:, 0], stretch), len(forks) - 1)
        shared = np.where(forks[row, 0] == stretch, forks[row, 2] - start, 0)
        mine = np.flatnonzero(shared > 0)
        return mine, np.searchsorted(self.stretches, forks[row[mine], 1]), shared[mine]

    def spans(
        self, stretch: np.ndarray, offset: np.ndarray, cu_seqlens: np.ndarray, which: str = POOLED
    ) -> RowSpans:
        """The tokens of rows in a pack.

        Parameters
        ----------
        stretch, offset : ndarray of int64, (S,)
            Stretch of each segment, and the tokens of the stretch before the segment.
        cu_seqlens : ndarray, (S + 1,)
            Start and end of each segment among the tokens of the pack.
        which : {"pooled", "whole", "downstream"}
            Which tokens of the rows.
        """
        begin = self.base[np.searchsorted(self.stretches, stretch)] + offset
        stop = begin + np.diff(cu_seqlens)
        # Intervals [low, high) may overlap the segment: those before end too early, those behind
        # start too late. Intervals of different lengths between them may not overlap it.
        low = np.searchsorted(self.farthest, begin, side="right")
        high = np.maximum(np.searchsorted(self.start, stop), low)
        segment = np.repeat(np.arange(len(begin)), high - low)
        each = np.arange(len(segment)) - np.repeat(edges_of(high - low)[:-1] - low, high - low)
        begin, stop = begin[segment], stop[segment]
        chunk, origin = self.chunk[each], self.start[each]
        # Tokens [first, after) of the chunk are in the segment, and wanted; counted from the
        # chunk's start.
        low, high = (tokens[chunk] for tokens in self.tokens[which])
        first = np.maximum(begin - origin, low)
        after = np.minimum(np.minimum(stop - origin, self.high[each]), high)
        overlaps = after > first
        # From a token of the chunk to a token of the pack.
        shift = cu_seqlens[segment] - begin + origin
        columns = (chunk, segment, first, after, shift, high)
        return self._spans(*(values[overlaps] for values in columns))

    def ended(
        self, stretch: np.ndarray, offset: np.ndarray, cu_seqlens: np.ndarray, which: str = POOLED
    ) -> np.ndarray:
        """Indices of the rows whose last token is in a pack with these segments: int64, (n,)."""
        spans = self.spans(stretch, offset, cu_seqlens, which)
        return spans.row_index[spans.ends]

    def _spans(
        self,
        chunk: np.ndarray,
        segment: np.ndarray,
        first: np.ndarray,
        after: np.ndarray,
        shift: np.ndarray,
        high: np.ndarray,
    ) -> RowSpans:
        """From spans of chunks to spans of rows: one per chunk, or one per bin. The rows of a chunk
        end before its token `high`."""
        lengths, bins = self.lengths[chunk], bin_of(self.pooling)
        size = np.full(len(chunk), bins) if bins else lengths
        # Bins [first // size, ceil(after / size)) of a chunk have tokens in the segment.
        n_bins = -(-after // size) - first // size
        number = np.arange(n_bins.sum()) - np.repeat(edges_of(n_bins)[:-1], n_bins)
        chunk, segment, first, after, shift, size, high = (
            np.repeat(values, n_bins)
            for values in (chunk, segment, first, after, shift, size, high)
        )
        number += first // size
        end = np.minimum((number + 1) * size, high)
        begin = np.maximum(number * size, first)
        row_index = self.rows.row_index(chunk, number)
        length = np.minimum(end, after) - begin
        return RowSpans(row_index, shift + begin, length, end <= after, segment)
