"""Where the segments of a pack lie, as the filters and the attention need it."""

from collections.abc import Callable

import numpy as np
import torch

from evo2_embed.engine.pack import Pack
from evo2_embed.engine.segment_lengths import BLOCK, SegmentLengths


def upload(values: np.ndarray, device: torch.device) -> torch.Tensor:
    """An array as a tensor on a device.

    It goes to a GPU from pinned memory, so the host does not wait for the work before it.
    """
    tensor = torch.from_numpy(values)
    if device.type == "cuda":
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


class Segments(SegmentLengths):
    """The segments of a pack, with tensors of token indices.

    Attributes
    ----------
    stretch, remaining : ndarray of int64, (S,)
        The stretch that a segment is part of, and that stretch's tokens after it.
    wanted : ndarray of bool, (S,)
        Whether a segment's outputs are needed.
    parent : ndarray of int64, (S,)
        Of the first segment of a fork the stretch that it begins in; -1 for all others.
    unfinished : ndarray of int64, (F,)
        The segments whose stretch continues in a later pack.
    kept, kept_ends, kept_lengths : ndarray of int64, (K,)
        The states that later packs need: the segment, where in the pack the state is (after the
        token before that), and the tokens of the segment up to there. They are at the ends of the
        unfinished segments, and at fork points.
    forks : ndarray of int64, (K,)
        How many forks begin from each of these states.
    """

    def __init__(self, pack: Pack):
        super().__init__(pack.lengths, pack.offset)
        self.stretch, self.remaining, self.wanted = pack.stretch, pack.remaining, pack.wanted
        self.parent = pack.parent
        self.unfinished = np.flatnonzero((self.remaining > 0) & self.wanted)
        points = pack.forks[self.wanted[pack.forks[:, 0]]]
        ends = self.starts[points[:, 0]] + points[:, 1] - self.offset[points[:, 0]]
        self.kept_ends = np.union1d(self.ends[self.unfinished], ends)
        self.kept = np.searchsorted(self.ends, self.kept_ends)
        self.kept_lengths = self.kept_ends - self.starts[self.kept]
        self.forks = np.zeros(len(self.kept), np.int64)
        np.add.at(self.forks, np.searchsorted(self.kept_ends, ends), points[:, 2])
        self._heads: dict[tuple, tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = {}
        self._blocks: dict[torch.device, Blocks] = {}
        self._uploads: dict[tuple, torch.Tensor] = {}

    @property
    def stretch_tokens(self) -> np.ndarray:
        """Tokens of each segment's stretch, (S,)."""
        return self.offset + self.lengths + self.remaining

    def cached_until(self, segment: int) -> int:
        """Tokens of a segment's stretch whose keys and values later packs need: all, or those
        before its last fork point in the segment if the stretch ends here."""
        if self.remaining[segment]:
            return int(self.stretch_tokens[segment])
        last = int(self.kept_lengths[self.kept == segment][-1])
        return int(self.offset[segment]) + last

    def row_of(self, segment: int) -> int | None:
        """Index of a segment among the `continued` ones; None for one that begins a stretch."""
        row = int(np.searchsorted(self.continued, segment))
        return row if row < len(self.continued) and self.continued[row] == segment else None

    def heads(
        self, start: int, stop: int, reach: int, device: torch.device
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Tokens of [start, stop) with fewer than `reach` tokens of their segment before them.

        Returns
        -------
        (n,), (n,), (n,)
            Their indices, counted from `start`; their positions in their segments; and the index
            of their segment among the `continued` ones, -1 for a segment that begins a stretch.
        """
        key = (start, stop, reach, device)
        if key not in self._heads:
            position = self.position[start:stop]
            index = np.flatnonzero(position < reach)
            segment = np.searchsorted(self.ends, start + index, side="right")
            rows = self._continued_rows[segment]
            self._heads[key] = tuple(
                upload(values, device) for values in (index, position[index], rows)
            )
        return self._heads[key]

    def edges(self, device: torch.device) -> torch.Tensor:
        """Segment s has the tokens `edges[s]` to `edges[s + 1]`: int32, (S + 1,)."""
        return self._uploaded("edges", device, lambda: np.append(0, self.ends).astype(np.int32))

    def first_tokens(self, continued: bool, device: torch.device) -> torch.Tensor:
        """Index of the first token of each segment that continues, or begins, a stretch."""
        segments = self.continued if continued else self.fresh
        name = "continued" if continued else "fresh"
        return self._uploaded(name, device, lambda: self.starts[segments])

    def stretch_positions(self, device: torch.device) -> torch.Tensor:
        """Position of each token in its stretch, (T,)."""
        return self._uploaded(
            "position", device, lambda: self.position + np.repeat(self.offset, self.lengths)
        )

    def tokens(self, device: torch.device) -> torch.Tensor:
        """Per token its position in its segment, and the index of its segment among the `continued`
        ones, or -1: int32, (2, T)."""

        def values() -> np.ndarray:
            rows = np.repeat(self._continued_rows, self.lengths)
            return np.stack([self.position, rows]).astype(np.int32)

        return self._uploaded("tokens", device, values)

    def block_table(self, device: torch.device) -> torch.Tensor:
        """The segments cut into blocks of `BLOCK` tokens: int32, (5, N).

        Per block its first token, its position in its segment, its tokens, the index of its segment
        among the `continued` ones, and the index of the block among those in which a state is kept
        (`kept_blocks`); or -1.
        """

        def values() -> np.ndarray:
            number = -(-self.lengths // BLOCK)
            segment = np.repeat(np.arange(len(number)), number)
            place = np.arange(len(segment)) - np.repeat(np.cumsum(number) - number, number)
            tokens = np.minimum(BLOCK, self.lengths[segment] - place * BLOCK)
            after = np.full(len(segment), -1)
            after[self._blocks_kept] = self.kept_blocks
            start = self.starts[segment] + place * BLOCK
            rows = self._continued_rows[segment]
            return np.stack([start, place, tokens, rows, after]).astype(np.int32)

        return self._uploaded("blocks", device, values)

    @property
    def _blocks_kept(self) -> np.ndarray:
        """The block of `BLOCK` tokens in which each kept state is, (K,)."""
        number = -(-self.lengths // BLOCK)
        return (np.cumsum(number) - number)[self.kept] + (self.kept_lengths - 1) // BLOCK

    @property
    def kept_blocks(self) -> np.ndarray:
        """Index of the block of each kept state among those blocks; states share some, (K,)."""
        return np.unique(self._blocks_kept, return_inverse=True)[1]

    @property
    def _continued_rows(self) -> np.ndarray:
        """Index of each segment among the `continued` ones, or -1, (S,)."""
        rows = np.full(len(self.lengths), -1)
        rows[self.continued] = np.arange(len(self.continued))
        return rows

    def _uploaded(
        self, name: str, device: torch.device, values: Callable[[], np.ndarray]
    ) -> torch.Tensor:
        if (name, device) not in self._uploads:
            self._uploads[name, device] = upload(values(), device)
        return self._uploads[name, device]

    def blocks(self, device: torch.device) -> "Blocks":
        """The segments cut into blocks of one size."""
        if device not in self._blocks:
            self._blocks[device] = Blocks(self, self.block_size(), device)
        return self._blocks[device]


class Blocks:
    """Segments cut into blocks of one size; the last block of each segment is padded.

    The padding repeats the segment's last token. It is to the right of the segment's tokens, so
    causal filters never see it.

    Attributes
    ----------
    size : int
        Tokens per block.
    count, longest : int
        Number of blocks, N, and the largest number of blocks of one segment.
    first : ndarray of int64, (S,)
        The first block of each segment.
    position : ndarray of int64, (N,)
        Position of each block in its segment.
    """

    def __init__(self, segments: Segments, size: int, device: torch.device):
        per_segment = -(-segments.lengths // size)
        first = np.cumsum(per_segment) - per_segment
        self.size, self.device, self.segments = size, device, segments
        self.first = first
        self.count = int(per_segment.sum())
        self.longest = int(per_segment.max())
        self.position = np.arange(self.count) - np.repeat(first, per_segment)
        self._into = self._out_of = None  # token indices, (N * size,) and (T,)
        if self.count * size != segments.total:
            position = np.arange(self.count * size) - np.repeat(first * size, per_segment * size)
            segment = np.repeat(np.arange(len(first)), per_segment * size)
            into = segments.starts[segment] + np.minimum(position, segments.lengths[segment] - 1)
            self._into = upload(into, device)
            out_of = np.repeat(first * size - segments.starts, segments.lengths)
            self._out_of = upload(out_of + np.arange(segments.total), device)
        self._cuts: dict[int, torch.Tensor] = {}

    def of(self, segment: int) -> slice:
        """The blocks of a segment."""
        first = int(self.first[segment])
        return slice(first, first - (-int(self.segments.lengths[segment]) // self.size))

    def kept(self, row: int) -> tuple[int, int]:
        """The block in which a kept state is, and the tokens of the block up to there."""
        before, tokens = divmod(int(self.segments.kept_lengths[row]) - 1, self.size)
        return int(self.first[self.segments.kept[row]]) + before, tokens + 1

    def split(self, values: torch.Tensor) -> torch.Tensor:
        """(C, T) to (C, N, size): a view if all segments are whole blocks, else a copy."""
        if self._into is not None:
            values = values.index_select(1, self._into)
        return values.reshape(len(values), self.count, self.size)

    def join(self, values: torch.Tensor) -> torch.Tensor:
        """(C, N, size) to (C, T), without the padding."""
        values = values.reshape(len(values), -1)
        return values if self._out_of is None else values.index_select(1, self._out_of)

    def cut(self, distance: int) -> torch.Tensor:
        """Blocks n for which block n + `distance` is in another segment, (n,)."""
        if distance not in self._cuts:
            apart = np.flatnonzero(self.position[distance:] < distance)
            self._cuts[distance] = upload(apart, self.device)
        return self._cuts[distance]
