"""The implicit filter of the `hcl` blocks, over the segments of a pack, in float32.

h[t] = sum over n of residue_n * exp(log_pole_n * t) is a Toeplitz matrix within a block of tokens,
and a state of 16 numbers a channel from block to block. It is never built longer than a block,
whatever the length of the segment, and needs no Fourier transform. A segment that goes on with a
stretch starts from the state that the stretch is in.

Source: Ku et al. 2025, Systems and Algorithms for Convolutional Multi-Hybrid Language Models at
Scale (StripedHyena 2); Dao and Gu 2024, Transformers are SSMs (states between blocks).
"""

import torch

from evo2_embed.engine.filters import toeplitz
from evo2_embed.engine.scratch import Scratch
from evo2_embed.engine.segments import Blocks
from evo2_embed.engine.states import Carry, ModalStates


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
        torch.bmm(values, toeplitz(taps, size, size), out=out)
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
