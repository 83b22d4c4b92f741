"""How much memory a pack needs beside the weights, from the lengths of its segments.

It needs no torch: what a job will take is known before it runs.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

# Numbers in a tile of the residual stream: on a CPU what stays in its cache, on a GPU what keeps
# it busy.
TILE_ELEMENTS = {"cpu": 2**18, "cuda": 2**26}
MIN_TILE = 256  # tokens
# Numbers in the channels that the medium and long filters take at once.
CHANNEL_ELEMENTS = {"cpu": 2**19, "cuda": 2**26}
# Most tokens in a block.
BLOCK = 64
# Segments of one batch of the attention are at most this much shorter than its longest one.
_LIKE_LENGTH = 0.95
# Up to this length, segments share a batch whatever their lengths (tokens).
_SHORT = 32
# Tokens of a past that are attended to, and brought to the device or to the model's type, at once.
KV_TILE = 16_384
# Bytes of a number of kept keys and values, where not that of the model.
KV_BYTES = {"bf16": 2, "int8": 1}
MODES = 16  # real modes a channel of an implicit filter


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


@dataclass(frozen=True)
class Footprint:
    """What the memory of a pack depends on.

    Attributes
    ----------
    width, inner, head : int
        Of the residual stream (D), of the MLP (I) and of an attention head.
    outputs : int
        Widths of the layers that are asked for, together.
    itemsize : int
        Bytes of a number of the model's type (e).
    tile : int
        Tokens that token-by-token work takes at once (t).
    channel_elements, channel_step : int
        Numbers that the medium and long filters take at once, and the fewest channels.
    attention_blocks : int
        Blocks that keep keys and values.
    state : int
        Bytes of the other states of a stretch: the last inputs of filters, the modes.
    kv_type, kv_device : str
        As in `engines.keysvalues.Keeping`.
    """

    width: int
    inner: int
    head: int
    outputs: int
    itemsize: int
    tile: int
    channel_elements: int
    channel_step: int
    attention_blocks: int
    state: int
    kv_type: str = "model"
    kv_device: str = "device"

    def kept_bytes(self, tokens: int) -> int:
        """Bytes of the keys and values of so many tokens of stretches.

        In each of a attention blocks 2 D numbers a token of b bytes, and for int8 a scale of four
        bytes for every head: 2 a D b (1 + 4 / head).
        """
        b = KV_BYTES.get(self.kv_type, self.itemsize)
        scales = 4 * (self.width // self.head) if self.kv_type == "int8" else 0
        return tokens * self.attention_blocks * 2 * (self.width * b + scales)

    def bytes(self, segments: SegmentLengths) -> int:
        """Peak of a pack, in bytes, weights left out.

        Held all the time, for T tokens, tiles of t tokens, and C channels of A tokens (of whole
        blocks) in the medium and long filters:

        - T (64 + (4 D + outputs) e): token ids and places; the residual stream, what mixes along
          the sequence (3 D), and the layers asked for;
        - t ((7 D + 2 I) e + 16 (D + head)): a tile's norm, projections, filtered projections,
          rotary positions, MLP;
        - 16 C A: what the medium filter spreads, and its sum, in float32.

        Beside that the largest of

        - a tile's projections, gates and taps in another type, where the model is not float32;
        - 12 C A: the medium and long filters' input, states and output;
        - attention: its output; where the segments are not of one length, for one batch of them the
          output again, and where those are not of one length, or not neighbours, queries, keys and
          values as well, all filled up to the longest segment, and the output without what fills
          up; for a segment of n tokens that goes on with a stretch, n D (2 e + 8) for its parts,
          and where keys and values have to be brought to the device or to the model's type, those
          of `KV_TILE` tokens.

        Beside that, for every segment that goes on with a stretch, its states three times. The keys
        and values of stretches are not in it (`kept_bytes`).
        """
        tokens, width, size = segments.total, self.width, self.itemsize
        tile = min(self.tile, tokens)
        block = segments.block_size()
        aligned = int((-(-segments.lengths // block) * block).sum())
        channels = channels_at_once(self.channel_elements, aligned, self.channel_step)
        filtered = min(channels, width) * aligned
        held = (
            tokens * (64 + (4 * width + self.outputs) * size)
            + tile * ((7 * width + 2 * self.inner) * size + 16 * (width + self.head))
            + 16 * filtered
            + 3 * self.state * len(segments.continued)
        )
        converted = 0 if size == 4 else tile * width * (20 + 3 * size)
        return held + max(converted, 12 * filtered, self._attention(segments))

    def _attention(self, segments: SegmentLengths) -> int:
        """Bytes that the attention makes beside its input."""
        vector = self.width * self.itemsize
        fresh = _attended(segments) * vector
        if not len(segments.continued):
            return fresh
        longest = int(segments.lengths[segments.continued].max())
        past = min(KV_TILE, int(segments.before.max()))
        parts = longest * (2 * vector + 8 * self.width) + past * self._brought()
        return max(fresh, segments.total * vector + parts)

    def _brought(self) -> int:
        """Bytes of a token's keys and values on their way to the device and the model's type."""
        if self.kv_device == "device" and self.kv_type == "model":
            return 0
        b = KV_BYTES.get(self.kv_type, self.itemsize)
        return 2 * self.width * (b + self.itemsize + (4 if self.kv_type == "int8" else 0))


def _attended(segments: SegmentLengths) -> int:
    """Vectors that the attention makes of segments that begin a stretch."""
    if not len(segments.fresh) or segments.uniform:
        return segments.total
    lengths = segments.lengths
    largest = max(
        int(lengths[members].sum())
        if segments.is_batch(members)
        else 5 * len(members) * int(lengths[members].max())
        for members in segments.batches(segments.fresh)
    )
    return segments.total + largest


def channels_at_once(elements: int, tokens: int, step: int) -> int:
    """How many channels of this many tokens are about `elements` numbers: some whole steps."""
    return max(1, elements // (tokens * step)) * step
