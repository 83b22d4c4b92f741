"""Where the segments of a pack lie, as the filters and the attention want to see it."""

from functools import cached_property

import numpy as np
import torch

from evo2_embed.engine.pack import Pack
from evo2_embed.engine.segment_lengths import SegmentLengths


class Segments(SegmentLengths):
    """The segments of a pack, with tensors that say where they lie.

    Attributes
    ----------
    stretch, left : ndarray of int64, (S,)
        Which stretch a segment is a piece of, and that stretch's tokens after it.
    wanted : ndarray of bool, (S,)
        Whether a segment's outputs are.
    going_on : ndarray of int64, (F,)
        The segments whose stretch goes on.
    """

    def __init__(self, pack: Pack):
        super().__init__(pack.lengths, pack.position)
        self.stretch, self.left, self.wanted = pack.stretch, pack.left, pack.wanted
        self.going_on = np.flatnonzero((self.left > 0) & self.wanted)
        self._heads: dict[tuple, tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = {}
        self._blocks: dict[torch.device, Blocks] = {}

    @cached_property
    def place(self) -> np.ndarray:
        """Place of each token in its stretch, (T,)."""
        if not len(self.continued):
            return self.position
        return self.position + np.repeat(self.before, self.lengths)

    @property
    def stretch_tokens(self) -> np.ndarray:
        """Tokens of each segment's stretch, (S,)."""
        return self.before + self.lengths + self.left

    def row_of(self, segment: int) -> int | None:
        """Which of the `continued` segments a segment is; None for one that begins a stretch."""
        row = int(np.searchsorted(self.continued, segment))
        return row if row < len(self.continued) and self.continued[row] == segment else None

    def heads(
        self, start: int, stop: int, reach: int, device: torch.device
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Tokens of [start, stop) with fewer than `reach` tokens of their segment before them.

        Returns
        -------
        (n,), (n,), (n,)
            Their places, counted from `start`, their positions in their segments, and which of the
            `continued` segments these are; -1 for a segment that begins a stretch.
        """
        key = (start, stop, reach, device)
        if key not in self._heads:
            position = self.position[start:stop]
            where = np.flatnonzero(position < reach)
            owner = np.searchsorted(self.ends, start + where, side="right")
            rows = np.full(len(self.lengths), -1)
            rows[self.continued] = np.arange(len(self.continued))
            self._heads[key] = tuple(
                torch.from_numpy(values).to(device)
                for values in (where, position[where], rows[owner])
            )
        return self._heads[key]

    def blocks(self, device: torch.device) -> "Blocks":
        """The segments cut into blocks of one size."""
        if device not in self._blocks:
            self._blocks[device] = Blocks(self, self.block_size(), device)
        return self._blocks[device]


class Blocks:
    """Segments cut into blocks of one size; a segment's last block is filled up.

    What fills it up is to the right of the segment's tokens, so causal filters never see it.

    Attributes
    ----------
    size : int
        Tokens of a block.
    count, longest : int
        Number of blocks, N, and the most of one segment.
    first : ndarray of int64, (S,)
        The first block of each segment.
    position : ndarray of int64, (N,)
        Place of each block in its segment.
    """

    def __init__(self, segments: Segments, size: int, device: torch.device):
        per_segment = -(-segments.lengths // size)
        first = np.cumsum(per_segment) - per_segment
        self.size, self.device, self.segments = size, device, segments
        self.first = first
        self.count = int(per_segment.sum())
        self.longest = int(per_segment.max())
        self.position = np.arange(self.count) - np.repeat(first, per_segment)
        self._into = self._out_of = None
        if self.count * size != segments.total:
            places = np.arange(self.count * size) - np.repeat(first * size, per_segment * size)
            owner = np.repeat(np.arange(len(first)), per_segment * size)
            into = segments.starts[owner] + np.minimum(places, segments.lengths[owner] - 1)
            self._into = torch.from_numpy(into).to(device)
            out_of = np.repeat(first * size - segments.starts, segments.lengths)
            self._out_of = torch.from_numpy(out_of + np.arange(segments.total)).to(device)
        self._later: dict[int, torch.Tensor] = {}

    def of(self, segment: int) -> slice:
        """The blocks of a segment."""
        first = int(self.first[segment])
        return slice(first, first - (-int(self.segments.lengths[segment]) // self.size))

    def last(self, segment: int) -> tuple[int, int]:
        """The last block of a segment, and how many tokens of the segment it has."""
        mine = self.of(segment)
        before = (mine.stop - 1 - mine.start) * self.size
        return mine.stop - 1, int(self.segments.lengths[segment]) - before

    def split(self, values: torch.Tensor) -> torch.Tensor:
        """(C, T) to (C, N, size): a view where segments are whole blocks, else a copy."""
        if self._into is not None:
            values = values.index_select(1, self._into)
        return values.reshape(len(values), self.count, self.size)

    def join(self, values: torch.Tensor) -> torch.Tensor:
        """(C, N, size) to (C, T), without what filled up the last blocks."""
        values = values.reshape(len(values), -1)
        return values if self._out_of is None else values.index_select(1, self._out_of)

    def cut(self, distance: int) -> torch.Tensor:
        """Which blocks are in another segment than the block `distance` further on, (n,)."""
        if distance not in self._later:
            apart = np.flatnonzero(self.position[distance:] < distance)
            self._later[distance] = torch.from_numpy(apart).to(self.device)
        return self._later[distance]
