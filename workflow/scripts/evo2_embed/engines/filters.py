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

A segment that goes on with a stretch starts from what was before it: the explicit filters from
their last inputs, the implicit one from its state.

Source: Ku et al. 2025, Systems and Algorithms for Convolutional Multi-Hybrid Language Models at
Scale (StripedHyena 2; the two-stage blocked convolution); Dao and Gu 2024, Transformers are SSMs
(states between blocks).
"""

import torch
import torch.nn.functional as F

from evo2_embed.engines.scratch import Scratch
from evo2_embed.engines.segments import Blocks, Segments
from evo2_embed.engines.states import Carry, ModalStates, Tails


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
        matrix = _toeplitz(taps, size, size * (1 + spread))
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
        matrix = _toeplitz(taps, self.reach, 2 * self.reach)[..., self.reach :]
        grouped = past.reshape(len(taps), -1, self.reach)
        added = torch.bmm(grouped, matrix).view(past.shape)
        for row, segment in enumerate(blocks.segments.continued):
            start = int(blocks.first[segment]) * blocks.size
            tokens = min(int(blocks.segments.lengths[segment]), self.reach)
            out[:, start : start + tokens] += added[:, row, :tokens]


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

    def borders(self, u: torch.Tensor, carry: Carry) -> ModalStates:
        """The states at the borders of pieces; those behind them come about channel by channel."""
        return ModalStates(carry, self.residues.shape[:2], u.device)

    def __call__(
        self,
        values: torch.Tensor,
        blocks: Blocks,
        first: int,
        scratch: Scratch,
        states: ModalStates,
    ) -> torch.Tensor:
        """Filter channels [first, first + C).

        Parameters
        ----------
        values : Tensor of float32, (C, N, size)
        states : ModalStates
            Those that `borders` gave.

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
        entering = None
        if blocks.longest > 1 or states.before is not None:
            left = torch.bmm(values, powers[..., :size].flip(-1).transpose(1, 2))  # (C, N, 16)
            entering = _entering(left, log_poles * size, blocks)
        for row, segment in enumerate(blocks.segments.going_on):
            block, tokens = blocks.last(segment)
            # Of the tokens of its last block alone: what fills that up belongs to no stretch.
            leaving = powers[..., :tokens].flip(-1) @ values[:, block, :tokens, None]
            if entering is not None:
                leaving += powers[..., tokens, None] * entering[:, block, :, None]
            states.after[row, channels] = leaving[..., 0].double()
        if states.before is not None:
            self._go_on(entering, channels, blocks, states)
        if entering is not None:
            out.baddbmm_(entering, residues * powers[..., 1:])
        return out

    def _go_on(
        self, entering: torch.Tensor, channels: slice, blocks: Blocks, states: ModalStates
    ) -> None:
        """Add what the states before pieces become to those in which their blocks are entered,
        (C, N, 16), and to those that the pieces leave.

        The latter in float64: a slow mode decays by less than float32 can say in a short piece.
        """
        log_poles = self.log_poles[channels, :, 0]
        for row, segment in enumerate(blocks.segments.continued):
            before = states.before[row, channels]  # (C, 16)
            mine = blocks.of(segment)
            tokens = torch.arange(mine.stop - mine.start, device=entering.device) * blocks.size
            decay = (log_poles[:, None] * tokens[:, None]).exp()
            entering[:, mine] += before.float()[:, None] * decay
        for row, segment in enumerate(blocks.segments.going_on):
            past = blocks.segments.row_of(segment)
            if past is not None:
                tokens = int(blocks.segments.lengths[segment])
                decay = (log_poles.double() * tokens).exp()
                states.after[row, channels] += decay * states.before[past, channels]


def _entering(left: torch.Tensor, log_decay: torch.Tensor, blocks: Blocks) -> torch.Tensor:
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
