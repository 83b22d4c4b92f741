"""The implicit filter of the `hcl` blocks, over the segments of a pack, in float32.

h[t] = sum over n of residue_n * exp(log_pole_n * t) is a Toeplitz matrix within a block of tokens,
and a state of 16 modes per channel from block to block. The filter is never built longer than a
block, whatever the length of the segment, and needs no Fourier transform. A segment that continues
a stretch starts from the stretch's state.

Source: Ku et al. 2025, Systems and Algorithms for Convolutional Multi-Hybrid Language Models at
Scale (StripedHyena 2); Dao and Gu 2024, Transformers are SSMs (states between blocks).
"""

import torch

from evo2_embed.engine.filters import toeplitz
from evo2_embed.engine.scratch import Scratch
from evo2_embed.engine.segments import Blocks, Segments
from evo2_embed.engine.states import BlockState, ModalStates


class LongFilter:
    """The implicit filter of the `hcl` blocks.

    Parameters
    ----------
    log_poles : Tensor, (C, 16, 1)
    residues : Tensor, (C, 16)
    bias : Tensor, (C,)
        The input times this is added to the output (`D`).
    """

    channel_step = 1

    def __init__(self, log_poles: torch.Tensor, residues: torch.Tensor, bias: torch.Tensor):
        self.log_poles = log_poles.detach().float()  # (C, 16, 1)
        self.residues = residues.detach().float()[..., None]  # (C, 16, 1)
        self.bias = bias.detach().float()

    def borders(self, u: torch.Tensor, state: BlockState) -> ModalStates:
        """The states before and after the segments; the latter are computed channel by channel."""
        return ModalStates(state, self.residues.shape[:2], u.device)

    def powers(self, count: int, channels: slice = slice(None)) -> torch.Tensor:
        """exp(log_pole * t) for t < count, (C, 16, count)."""
        time = torch.arange(count, device=self.log_poles.device)
        return (self.log_poles[channels] * time).exp()

    def first_taps(self, powers: torch.Tensor, channels: slice = slice(None)) -> torch.Tensor:
        """The first taps of the filter with its bias, (C, size), from powers (C, 16, size)."""
        taps = (self.residues[channels] * powers).sum(1)
        taps[:, 0] += self.bias[channels]
        return taps

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
            What `borders` returned.

        Returns
        -------
        Tensor of float32, (C, N, size)
        """
        size = values.shape[2]
        channels = slice(first, first + len(values))
        log_poles, residues = self.log_poles[channels], self.residues[channels]
        powers = self.powers(size + 1, channels)  # (C, 16, size + 1)
        taps = self.first_taps(powers[..., :size], channels)  # (C, size)
        out = scratch.get("mixed channels", values.shape, values)
        torch.bmm(values, toeplitz(taps, size, size), out=out)
        entering = None
        if blocks.longest > 1 or states.before is not None:
            leaving = torch.bmm(values, powers[..., :size].flip(-1).transpose(1, 2))  # (C, N, 16)
            entering = _entering(leaving, log_poles * size, blocks)  # (C, N, 16)
        for row in range(len(blocks.segments.kept)):
            block, tokens = blocks.kept(row)
            # Only the tokens up to there: what follows, or a block's padding, is not part of it.
            entered = None if entering is None else entering[:, block]
            self.leave(values[:, block, :tokens], entered, channels, row, blocks.segments, states)
        if states.before is not None:
            self._add_earlier(entering, channels, blocks, states)
        if entering is not None:
            out.baddbmm_(entering, residues * powers[..., 1:])
        return out

    def leave(
        self,
        values: torch.Tensor,
        entered: torch.Tensor | None,
        channels: slice,
        row: int,
        segments: Segments,
        states: ModalStates,
    ) -> None:
        """Keep a state that later packs need.

        Parameters
        ----------
        values : Tensor of float32, (C, n)
            The inputs of its block up to there.
        entered : Tensor of float32 or None, (C, 16)
            The state in which that block is entered, without what is from before the segment.
        row : int
            Index of the state among the `kept` ones.
        """
        log_poles, tokens = self.log_poles[channels], values.shape[1]
        powers = self.powers(tokens, channels)  # (C, 16, n)
        after = (powers.flip(-1) @ values[..., None])[..., 0]  # (C, 16)
        if entered is not None:
            after += (log_poles[..., 0] * tokens).exp() * entered
        states.after[row, channels] = after.double()
        earlier = segments.row_of(int(segments.kept[row]))
        if earlier is not None:
            # In float64: in a short segment a slow mode decays by less than float32 resolves.
            decay = (log_poles[..., 0].double() * int(segments.kept_lengths[row])).exp()
            states.after[row, channels] += decay * states.before[earlier, channels]

    def _add_earlier(
        self, entering: torch.Tensor, channels: slice, blocks: Blocks, states: ModalStates
    ) -> None:
        """Add the decayed states from before the segments to the states in which their blocks are
        entered, (C, N, 16)."""
        log_poles = self.log_poles[channels, :, 0]  # (C, 16)
        for row, segment in enumerate(blocks.segments.continued):
            before = states.before[row, channels]  # (C, 16)
            mine = blocks.of(segment)
            tokens = torch.arange(mine.stop - mine.start, device=entering.device) * blocks.size
            decay = (log_poles[:, None] * tokens[:, None]).exp()  # (C, blocks of the segment, 16)
            entering[:, mine] += before.float()[:, None] * decay


def _entering(leaving: torch.Tensor, log_decay: torch.Tensor, blocks: Blocks) -> torch.Tensor:
    """The states in which blocks are entered, from what each block alone leaves, (C, N, 16).

    entering[n] = leaving[n - 1] + decay * entering[n - 1], by doubling the distance.
    """
    states = torch.zeros_like(leaving)
    states[:, 1:] = leaving[:, :-1]
    states[:, 1:][:, blocks.cut(1)] = 0
    log_decay = log_decay.transpose(1, 2)  # (C, 1, 16)
    distance = 1
    while distance < blocks.longest - 1:
        reached = states[:, :-distance] * (log_decay * distance).exp()
        reached[:, blocks.cut(distance)] = 0
        states[:, distance:] += reached
        distance *= 2
    return states
