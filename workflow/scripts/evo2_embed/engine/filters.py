"""The explicit filters of the Hyena blocks, over the segments of a pack, in float32.

Values are channels first, (C, T): a filter then runs along contiguous memory, and the matrix
products before and after it read and write this layout at no cost.

- The explicit filters of 3 taps (after the projections) and of 7 taps (`hcs`) are sums of shifted
  values.
- The explicit filter of 128 taps (`hcm`) is a banded Toeplitz matrix over blocks of tokens: what a
  block does to itself and to those after it is one matrix product.

A segment that goes on with a stretch starts from the filter's last inputs.

Source: Ku et al. 2025, Systems and Algorithms for Convolutional Multi-Hybrid Language Models at
Scale (StripedHyena 2; the two-stage blocked convolution).
"""

import torch
import torch.nn.functional as F

from evo2_embed.engine.scratch import Scratch
from evo2_embed.engine.segments import Blocks, Segments
from evo2_embed.engine.states import Carry, Tails


class ShortFilter:
    """A depthwise causal filter of a few taps.

    Parameters
    ----------
    weight : Tensor, (C, 1, K) or (groups, 1, K)
        As `conv1d` takes it: the last tap meets the present token.
    channels : int
    """

    def __init__(self, weight: torch.Tensor, channels: int):
        taps = weight.detach()[:, 0].float()
        self.taps = taps.repeat_interleave(channels // len(taps), 0)  # (C, K)
        self.reach = self.taps.shape[1] - 1
        self.channel_step = 1
        # One kernel on a GPU; on a CPU its layouts cost more than a pass for every tap.
        self.by_convolution = weight.is_cuda

    def __call__(
        self,
        values: torch.Tensor,
        segments: Segments,
        start: int,
        out: torch.Tensor,
        tails: Tails,
    ) -> torch.Tensor:
        """Filter the tokens [start, start + t) of a pack.

        Parameters
        ----------
        values : Tensor, (C, reach + t)
            The tokens, and the `reach` tokens before them; those of other segments, and those
            before the pack, are not used.
        out : Tensor of float32, (C, t)
            Where the result may be put.
        tails : Tails
            The inputs before, and behind, pieces of stretches.

        Returns
        -------
        Tensor of float32, (C, t)
        """
        tails.keep(values, start - self.reach)
        values = values.float()
        tokens = values.shape[1] - self.reach
        if self.by_convolution:
            out = F.conv1d(values[None], self.taps[:, None], groups=len(values))[0]
        else:
            out = torch.mul(values[:, self.reach :], self.taps[:, -1:], out=out)
            for tap in range(self.reach):
                out.addcmul_(values[:, tap : tap + tokens], self.taps[:, tap : tap + 1])
        self._mend_heads(values, segments, start, out, tails)
        return out

    def _mend_heads(
        self,
        values: torch.Tensor,
        segments: Segments,
        start: int,
        out: torch.Tensor,
        tails: Tails,
    ) -> None:
        """Filter a segment's first tokens again, with what is before them in its stretch only."""
        stop = start + out.shape[1]
        where, position, row = segments.heads(start, stop, self.reach, values.device)
        if len(where) == 0:
            return
        tap = torch.arange(self.reach + 1, device=values.device)
        before = self.reach - tap > position[:, None]  # (n, K)
        windows = values[:, where[:, None] + tap].masked_fill(before, 0)  # (C, n, K)
        if tails.before is not None:
            # A token's input `reach - tap` back is in the tail at position + tap.
            place = (position[:, None] + tap).clamp(max=self.reach - 1)
            past = tails.before.float().transpose(0, 1)[:, row[:, None], place]
            windows += past.masked_fill(~before | (row < 0)[:, None], 0)
        out[:, where] = (windows * self.taps[:, None]).sum(-1)


class MediumFilter:
    """The explicit filter of the `hcm` blocks, shared by the channels of a group.

    Parameters
    ----------
    weight : Tensor, (groups, 1, K)
        The first tap meets the present token.
    bias : Tensor, (C,)
        What of the input is added to the output (`D`).
    """

    def __init__(self, weight: torch.Tensor, bias: torch.Tensor):
        self.taps = weight.detach()[:, 0].float()  # (groups, K)
        self.bias = bias.detach().float()[:, None, None]
        self.reach = self.taps.shape[1] - 1
        self.channel_step = len(bias) // len(self.taps)

    def borders(self, u: torch.Tensor, carry: Carry) -> Tails:
        """The inputs at the borders of pieces, of u (C, T)."""
        tails = carry.tails("u", len(u), self.reach, u)
        tails.keep(u, 0)
        return tails

    def __call__(
        self, values: torch.Tensor, blocks: Blocks, first: int, scratch: Scratch, tails: Tails
    ) -> torch.Tensor:
        """Filter channels [first, first + C), whole groups.

        Parameters
        ----------
        values : Tensor of float32, (C, N, size)
        tails : Tails
            Those that `borders` gave.

        Returns
        -------
        Tensor of float32, (C, N, size)
        """
        channels, count, size = values.shape
        taps = self.taps[first // self.channel_step : (first + channels) // self.channel_step]
        # How many blocks after it a block reaches.
        spread = min(-(-self.reach // size), blocks.longest - 1)
        matrix = toeplitz(taps, size, size * (1 + spread))
        grouped = values.reshape(len(matrix), -1, size)
        reached = scratch.get("reached", (*grouped.shape[:2], matrix.shape[2]), values)
        reached = torch.bmm(grouped, matrix, out=reached).view(channels, count, 1 + spread, size)
        out = scratch.get("mixed channels", values.shape, values)
        torch.addcmul(reached[:, :, 0], values, self.bias[first : first + channels], out=out)
        for distance in range(1, spread + 1):
            later = reached[:, : count - distance, distance]
            later[:, blocks.cut(distance)] = 0
            out[:, distance:] += later
        if tails.before is not None:
            past = tails.before[:, first : first + channels].float().transpose(0, 1)
            self._add_past(out.flatten(1), taps, past, blocks)
        return out

    def _add_past(
        self, out: torch.Tensor, taps: torch.Tensor, past: torch.Tensor, blocks: Blocks
    ) -> None:
        """Add what inputs before the pieces, (C, P, reach), give to the first tokens of these, in
        `out`, (C, N * size)."""
        matrix = toeplitz(taps, self.reach, 2 * self.reach)[..., self.reach :]
        grouped = past.reshape(len(taps), -1, self.reach)
        added = torch.bmm(grouped, matrix).view(past.shape)
        for row, segment in enumerate(blocks.segments.continued):
            start = int(blocks.first[segment]) * blocks.size
            tokens = min(int(blocks.segments.lengths[segment]), self.reach)
            out[:, start : start + tokens] += added[:, row, :tokens]


def toeplitz(taps: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """(G, K) to (G, rows, columns) with [j, i] = taps[i - j], zero where there is no such tap."""
    taps = taps[:, :columns]
    row = F.pad(taps, (rows - 1, columns - taps.shape[1]))
    return row.unfold(1, columns, 1).flip(1)
