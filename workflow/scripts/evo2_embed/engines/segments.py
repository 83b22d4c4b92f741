"""Where the segments of a pack lie, as the filters and the attention want to see it."""

import numpy as np
import torch

from evo2_embed.footprint import SegmentLengths


class Segments(SegmentLengths):
    """The segments of a pack, with tensors that say where they lie."""

    def __init__(self, lengths: np.ndarray):
        super().__init__(lengths)
        self._heads: dict[tuple, tuple[torch.Tensor, torch.Tensor]] = {}
        self._blocks: dict[torch.device, Blocks] = {}

    def heads(
        self, start: int, stop: int, reach: int, device: torch.device
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Tokens of [start, stop) with fewer than `reach` tokens of their segment before them.

        Returns
        -------
        (n,), (n,)
            Their places, counted from `start`, and their positions in their segments.
        """
        key = (start, stop, reach, device)
        if key not in self._heads:
            position = self.position[start:stop]
            where = np.flatnonzero(position < reach)
            self._heads[key] = tuple(
                torch.from_numpy(values).to(device) for values in (where, position[where])
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
    position : ndarray of int64, (N,)
        Place of each block in its segment.
    """

    def __init__(self, segments: Segments, size: int, device: torch.device):
        per_segment = -(-segments.lengths // size)
        first = np.cumsum(per_segment) - per_segment
        self.size, self.device = size, device
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
