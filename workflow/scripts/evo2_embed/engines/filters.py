"""The filters of the Hyena blocks, over the segments of a pack, in float32.

Values are channels first, (C, T): a filter then runs along contiguous memory, and the matrix
products before and after it read and write this layout at no cost.

- The explicit filters of 3 taps (after the projections) and of 7 taps (`hcs`) are sums of shifted
  values.
- The explicit filter of 128 taps (`hcm`) is a banded Toeplitz matrix over blocks of tokens: what a
  block does to itself and to those after it is one matrix product.
- The implicit filter (`hcl`), h[t] = sum over n of residue_n * exp(log_pole_n * t), is a Toeplitz
  matrix within a block, and a state of 16 numbers a channel from block to block. It is never
  built longer than a block, whatever the length of the segment, and needs no Fourier transform.

Source: Ku et al. 2025, Systems and Algorithms for Convolutional Multi-Hybrid Language Models at
Scale (StripedHyena 2; the two-stage blocked convolution); Dao and Gu 2024, Transformers are SSMs
(states between blocks).
"""

import torch
import torch.nn.functional as F

from evo2_embed.engines.scratch import Scratch
from evo2_embed.engines.segments import Blocks, Segments


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
        self, values: torch.Tensor, segments: Segments, start: int, out: torch.Tensor
    ) -> torch.Tensor:
        """Filter the tokens [start, start + t) of a pack.

        Parameters
        ----------
        values : Tensor, (C, reach + t)
            The tokens, and the `reach` tokens before them; those of other segments, and those
            before the pack, are not used.
        out : Tensor of float32, (C, t)
            Where the result may be put.

        Returns
        -------
        Tensor of float32, (C, t)
        """
        values = values.float()
        tokens = values.shape[1] - self.reach
        if self.by_convolution:
            out = F.conv1d(values[None], self.taps[:, None], groups=len(values))[0]
        else:
            out = torch.mul(values[:, self.reach :], self.taps[:, -1:], out=out)
            for tap in range(self.reach):
                out.addcmul_(values[:, tap : tap + tokens], self.taps[:, tap : tap + 1])
        self._mend_heads(values, segments, start, out)
        return out

    def _mend_heads(
        self, values: torch.Tensor, segments: Segments, start: int, out: torch.Tensor
    ) -> None:
        """Filter a segment's first tokens again, without what is before the segment."""
        stop = start + out.shape[1]
        where, position = segments.heads(start, stop, self.reach, values.device)
        if len(where) == 0:
            return
        tap = torch.arange(self.reach + 1, device=values.device)
        before = self.reach - tap > position[:, None]  # (n, K)
        windows = values[:, where[:, None] + tap].masked_fill(before, 0)  # (C, n, K)
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
        self.channel_step = len(bias) // len(self.taps)

    def __call__(
        self, values: torch.Tensor, blocks: Blocks, first: int, scratch: Scratch
    ) -> torch.Tensor:
        """Filter channels [first, first + C), whole groups.

        Parameters
        ----------
        values : Tensor of float32, (C, N, size)

        Returns
        -------
        Tensor of float32, (C, N, size)
        """
        channels, count, size = values.shape
        groups = slice(first // self.channel_step, (first + channels) // self.channel_step)
        # How many blocks after it a block reaches.
        spread = min(-(-(self.taps.shape[1] - 1) // size), blocks.longest - 1)
        matrix = _toeplitz(self.taps[groups], size, size * (1 + spread))
        grouped = values.reshape(len(matrix), -1, size)
        reached = scratch.get("reached", (*grouped.shape[:2], matrix.shape[2]), values)
        reached = torch.bmm(grouped, matrix, out=reached).view(channels, count, 1 + spread, size)
        out = scratch.get("mixed channels", values.shape, values)
        torch.addcmul(reached[:, :, 0], values, self.bias[first : first + channels], out=out)
        for distance in range(1, spread + 1):
            later = reached[:, : count - distance, distance]
            later[:, blocks.cut(distance)] = 0
            out[:, distance:] += later
        return out


class LongFilter:
    """The implicit filter of the `hcl` blocks.

    Parameters
    ----------
    log_poles : Tensor, (C, 16, 1)
    residues : Tensor, (C, 16)
    bias : Tensor, (C,)
        What of the input is added to the output (`D`).
    """

    channel_step = 1

    def __init__(self, log_poles: torch.Tensor, residues: torch.Tensor, bias: torch.Tensor):
        self.log_poles = log_poles.detach().float()  # (C, 16, 1)
        self.residues = residues.detach().float()[..., None]
        self.bias = bias.detach().float()

    def __call__(
        self, values: torch.Tensor, blocks: Blocks, first: int, scratch: Scratch
    ) -> torch.Tensor:
        """Filter channels [first, first + C).

        Parameters
        ----------
        values : Tensor of float32, (C, N, size)

        Returns
        -------
        Tensor of float32, (C, N, size)
        """
        size = values.shape[2]
        channels = slice(first, first + len(values))
        log_poles, residues = self.log_poles[channels], self.residues[channels]
        powers = (log_poles * torch.arange(size + 1, device=values.device)).exp()  # (C, 16, size+1)
        taps = (residues * powers[..., :size]).sum(1)  # (C, size)
        taps[:, 0] += self.bias[channels]
        out = scratch.get("mixed channels", values.shape, values)
        torch.bmm(values, _toeplitz(taps, size, size), out=out)
        if blocks.longest > 1:
            left = torch.bmm(values, powers[..., :size].flip(-1).transpose(1, 2))  # (C, N, 16)
            entering = self._states(left, log_poles * size, blocks)
            out.baddbmm_(entering, residues * powers[..., 1:])
        return out

    @staticmethod
    def _states(left: torch.Tensor, log_decay: torch.Tensor, blocks: Blocks) -> torch.Tensor:
        """The states in which blocks are entered, from what each block leaves, (C, N, 16).

        entering[n] = left[n - 1] + decay * entering[n - 1], by doubling the distance.
        """
        states = torch.zeros_like(left)
        states[:, 1:] = left[:, :-1]
        states[:, 1:][:, blocks.cut(1)] = 0
        log_decay = log_decay.transpose(1, 2)  # (C, 1, 16)
        distance = 1
        while distance < blocks.longest - 1:
            reached = states[:, :-distance] * (log_decay * distance).exp()
            reached[:, blocks.cut(distance)] = 0
            states[:, distance:] += reached
            distance *= 2
        return states


def _toeplitz(taps: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
    """(G, K) to (G, rows, columns) with [j, i] = taps[i - j], zero where there is no such tap."""
    taps = taps[:, :columns]
    row = F.pad(taps, (rows - 1, columns - taps.shape[1]))
    return row.unfold(1, columns, 1).flip(1)
