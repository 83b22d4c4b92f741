"""The part of a Hyena block that mixes tokens, in PyTorch: y = x2 * filter(x1 * v).

x2, x1 and v are the projections after their short filter. Values are channels first, (C, t), and
rows start at multiples of 64 elements, so that the matrix products before and after find them
aligned.
"""

from collections.abc import Iterator

import torch

from evo2_embed.engine.cascade import inner_filter, projection_rows
from evo2_embed.engine.filters import ShortFilter
from evo2_embed.engine.footprint import channels_at_once, prefix_of
from evo2_embed.engine.scratch import Scratch, pitch_of
from evo2_embed.engine.segments import Segments
from evo2_embed.engine.states import BlockState

# First token and end of a tile, and its projections (3 D, prefix + t) or its y (D, t).
Tiles = Iterator[tuple[int, int, torch.Tensor]]


class Mixer:
    """The filters and gates of `hcs`, `hcm` and `hcl`.

    The order of the projections' rows is that of the checkpoint: interleaved, by head or one
    after the other.

    Attributes
    ----------
    prefix : int
        Tokens before a tile that its projections have to start with.
    """

    def __init__(
        self, cascade: torch.nn.Module, width: int, scratch: Scratch, channel_elements: int
    ):
        self.width, self.scratch, self.channel_elements = width, scratch, channel_elements
        self.short = ShortFilter(cascade.short_filter_weight, 3 * width)
        self.short_bias = cascade.short_filter_bias
        self.inner = inner_filter(cascade, width)
        self.rows = projection_rows(cascade, width)
        self.prefix = prefix_of(self.short.reach)

    def __call__(
        self, tiles: Tiles, x: torch.Tensor, segments: Segments, state: BlockState
    ) -> Tiles:
        """Turn the projections of tiles, in order, into their y.

        A y may come later than its projections, but as early as it can. It is valid until the next
        one is asked for.

        Parameters
        ----------
        x : Tensor, (T, D)
            Gives the type and the device of all values.
        """
        gates = self._gates(tiles, x, segments, state)
        if isinstance(self.inner, ShortFilter):
            yield from self._filter_tiles(gates, x, segments, state)
            return
        # Two thirds of a buffer that the attention uses for queries, keys and values.
        shape = (3, self.width, pitch_of(len(x)))
        x2_all, u = self.scratch.get("sequence", shape, x)[:2, :, : len(x)]  # (D, T) each
        spans = []
        for start, stop, x2, x1, v in gates:
            x2_all[:, start:stop] = x2
            torch.mul(x1, v, out=u[:, start:stop])
            spans.append((start, stop))
        self._mix(u, x2_all, segments, state)
        for start, stop in spans:
            yield start, stop, u[:, start:stop]

    def _gates(
        self, tiles: Tiles, x: torch.Tensor, segments: Segments, state: BlockState
    ) -> Iterator[tuple[int, int, torch.Tensor, torch.Tensor, torch.Tensor]]:
        """Tile by tile: its first token and end, and x2, x1 and v, (D, t) each."""
        reach = self.short.reach
        history = state.history("z", 3 * self.width, reach, x)
        for start, stop, z in tiles:
            out = self.scratch.get("filtered z", (len(z), stop - start), x, torch.float32)
            values = z[:, self.prefix - reach :]
            y = self.short(values, segments, start, out, history).to(x.dtype)  # (3 D, t)
            if self.short_bias is not None:
                y += self.short_bias[:, None]
            x2, x1, v = (y[rows] for rows in self.rows)
            yield start, stop, x2, x1, v

    def _filter_tiles(self, gates: Iterator, x: torch.Tensor, segments: Segments, state) -> Tiles:
        """`hcs`: the inner filter reaches so few tokens that the whole block runs tile by tile."""
        reach, last = self.inner.reach, None
        history = state.history("u", self.width, reach, x)
        for start, stop, x2, x1, v in gates:
            u = self.scratch.get("u", (self.width, reach + stop - start), x)
            u[:, :reach] = 0 if last is None else last
            torch.mul(x1, v, out=u[:, reach:])
            last = u[:, u.shape[1] - reach :].clone()
            out = self.scratch.matrix("filtered u", x2.shape, x, torch.float32)
            y = self.inner(u, segments, start, out, history)  # float32, (D, t)
            # In float32 both are one buffer.
            gated = self.scratch.matrix("filtered u", x2.shape, x)
            yield start, stop, torch.mul(y.to(x.dtype), x2, out=gated)

    def _mix(
        self, u: torch.Tensor, x2: torch.Tensor, segments: Segments, state: BlockState
    ) -> None:
        """Apply the inner filter to all of u (D, T), in place, and multiply by x2 (D, T)."""
        blocks = segments.blocks(u.device)
        tokens = blocks.count * blocks.size
        channels = channels_at_once(self.channel_elements, tokens, self.inner.channel_step)
        borders = self.inner.borders(u, state)
        for first in range(0, self.width, channels):
            rows = slice(first, first + channels)
            values = blocks.split(u[rows].float())  # (C, N, size)
            y = blocks.join(self.inner(values, blocks, first, self.scratch, borders))  # (C, T)
            torch.mul(y.to(u.dtype), x2[rows], out=u[rows])
