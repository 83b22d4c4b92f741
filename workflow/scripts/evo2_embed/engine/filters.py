"""The explicit filters of the Hyena blocks, over the segments of a pack, in float32.

Values are channels first, (C, T): a filter then runs along contiguous memory, and the matrix
products before and after it read and write this layout at no cost.

- The explicit filters of 3 taps (after the projections) and of 7 taps (`hcs`) are sums of shifted
  values.
- The explicit filter of 128 taps (`hcm`) is a banded Toeplitz matrix over blocks of tokens. One
  matrix product gives the effect of each block on itself and on the blocks after it.

A segment that continues a stretch starts from the filter's last inputs.

Source: Ku et al. 2025, Systems and Algorithms for Convolutional Multi-Hybrid Language Models at
Scale (StripedHyena 2; the two-stage blocked convolution).
"""

import torch
import torch.nn.functional as F

from evo2_embed.engine.scratch import Scratch
from evo2_embed.engine.segments import Blocks, Segments
from evo2_embed.engine.states import BlockState, FilterHistory


class ShortFilter:
    """A depthwise causal filter of a few taps.

    Parameters
    ----------
    weight : Tensor, (C, 1, K) or (groups, 1, K)
        As `conv1d` takes it: the last tap is for the present token.
    channels : int
    """

    def __init__(self, weight: torch.Tensor, channels: int):
        taps = weight.detach()[:, 0].float()
        self.taps = taps.repeat_interleave(channels // len(taps), 0)  # (C, K)
        self.reach = self.taps.shape[1] - 1
        # conv1d is one kernel on a GPU; on a CPU its layouts cost more than one pass per tap.
        self.by_convolution = weight.is_cuda

    def __call__(
        self,
        values: torch.Tensor,
        segments: Segments,
        start: int,
        out: torch.Tensor,
        history: FilterHistory,
    ) -> torch.Tensor:
        """Filter the tokens [start, start + t) of a pack.

        Parameters
        ----------
        values : Tensor, (C, reach + t)
            The tokens, and the `reach` tokens before them in the pack, which are used only as far
            as they belong to the same segment.
        out : Tensor of float32, (C, t)
            A buffer for the result.
        history : FilterHistory
            Inputs before and after the segments.

        Returns
        -------
        Tensor of float32, (C, t)
        """
        history.keep(values, start - self.reach)
        values = values.float()
        tokens = values.shape[1] - self.reach
        if self.by_convolution:
            out = F.conv1d(values[None], self.taps[:, None], groups=len(values))[0]
        else:
            out = torch.mul(values[:, self.reach :], self.taps[:, -1:], out=out)
            for tap in range(self.reach):
                out.addcmul_(values[:, tap : tap + tokens], self.taps[:, tap : tap + 1])
        self._redo_heads(values, segments, start, out, history)
        return out

    def _redo_heads(
        self,
        values: torch.Tensor,
        segments: Segments,
        start: int,
        out: torch.Tensor,
        history: FilterHistory,
    ) -> None:
        """Filter each segment's first tokens again, without the segment before it in the pack."""
        stop = start + out.shape[1]
        index, position, row = segments.heads(start, stop, self.reach, values.device)
        if len(index) == 0:
            return
        tap = torch.arange(self.reach + 1, device=values.device)
        outside = self.reach - tap > position[:, None]  # (n, K)
        windows = values[:, index[:, None] + tap].masked_fill(outside, 0)  # (C, n, K)
        if history.before is not None:
            # A token's input `reach - tap` tokens back is in the history at position + tap.
            column = (position[:, None] + tap).clamp(max=self.reach - 1)
            earlier = history.before.float().transpose(0, 1)[:, row[:, None], column]
            windows += earlier.masked_fill(~outside | (row < 0)[:, None], 0)
        out[:, index] = (windows * self.taps[:, None]).sum(-1)


class MediumFilter:
    """The explicit filter of the `hcm` blocks, shared by the channels of a group.

    Parameters
    ----------
    weight : Tensor, (groups, 1, K)
        The first tap is for the present token.
    bias : Tensor, (C,)
        The input times this is added to the output (`D`).
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor):
        self.taps = weight.detach()[:, 0].float()  # (groups, K)
        self.bias = bias.detach().float()[:, None, None]  # (C, 1, 1)
        self.reach = self.taps.shape[1] - 1
        self.channel_step = len(bias) // len(self.taps)

    def borders(self, u: torch.Tensor, state: BlockState) -> FilterHistory:
        """The inputs before and after the segments, of u (C, T)."""
        history = state.history("u", len(u), self.reach, u)
        history.keep(u, 0)
        return history

    def __call__(
        self,
        values: torch.Tensor,
        blocks: Blocks,
        first: int,
        scratch: Scratch,
        history: FilterHistory,
    ) -> torch.Tensor:
        """Filter channels [first, first + C), whole groups.

        Parameters
        ----------
        values : Tensor of float32, (C, N, size)
        history : FilterHistory
            What `borders` returned.

        Returns
        -------
        Tensor of float32, (C, N, size)
        """
        channels, count, size = values.shape
        taps = self.taps[first // self.channel_step : (first + channels) // self.channel_step]
        # Number of later blocks that a block reaches.
        spread = min(-(-self.reach // size), blocks.longest - 1)
        matrix = toeplitz(taps, size, size * (1 + spread))  # (G, size, size * (1 + spread))
        grouped = values.reshape(len(matrix), -1, size)  # (G, C / G * N, size)
        reached = scratch.get("reached", (*grouped.shape[:2], matrix.shape[2]), values)
        reached = torch.bmm(grouped, matrix, out=reached).view(channels, count, 1 + spread, size)
        out = scratch.get("mixed channels", values.shape, values)
        torch.addcmul(reached[:, :, 0], values, self.bias[first : first + channels], out=out)
        for distance in range(1, spread + 1):
            later = reached[:, : count - distance, distance]  # (C, N - distance, size)
            later[:, blocks.cut(distance)] = 0
            out[:, distance:] += later
        if history.before is not None:
            earlier = history.before[:, first : first + channels].float().transpose(0, 1)
            self._add_earlier(out.flatten(1), taps, earlier, blocks)
        return out

    def _add_earlier(
        self, out: torch.Tensor, taps: torch.Tensor, earlier: torch.Tensor, blocks: Blocks
    ) -> None:
        """Add the effect of the inputs before the segments, (C, P, reach), on the segments' first
        tokens in `out`, (C, N * size)."""
        matrix = toeplitz(taps, self.reach, 2 * self.reach)[..., self.reach :]
        grouped = earlier.reshape(len(taps), -1, self.reach)  # (G, C / G * P, reach)
        added = torch.bmm(grouped, matrix).view(earlier.shape)
        for row, segment in enumerate(blocks.segments.continued):
            start = int(blocks.first[segment]) * blocks.size
            tokens = min(int(blocks.segments.lengths[segment]), self.reach)
            out[:, start : start + tokens] += added[:, row, :tokens]


def toeplitz(taps: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """(G, K) to (G, rows, columns) with [j, i] = taps[i - j], zero where there is no such tap."""
    taps = taps[:, :columns]
    row = F.pad(taps, (rows - 1, columns - taps.shape[1]))  # (G, rows - 1 + columns)
    return row.unfold(1, columns, 1).flip(1)
