"""What goes from one piece of a stretch to the next, so that a piece sees the whole past.

A filter of K taps needs its last K - 1 inputs, an implicit filter its modal state, attention the
keys and values of all tokens. With them a piece gives what it would give in one pass with all that
is before it: nothing is cut off.
"""

import torch

from evo2_embed.engine.segments import Segments


class States:
    """The states of all stretches that are open: begun, and not ended.

    They change when a pack is through, all at once, so that a pack that did not fit the memory can
    be run again.
    """

    def __init__(self):
        self.open: dict[int, list[dict]] = {}  # by stretch, one dict a block
        self.tokens: dict[int, int] = {}  # of those stretches

    def carries(self, segments: Segments, blocks: int) -> list["Carry"]:
        """What the blocks carry into, and out of, a pack.

        Raises
        ------
        ValueError
            When a piece goes on with a stretch whose past did not run here.
        """
        nothing: list[dict] = [{} for _ in range(blocks)]
        before = []
        for segment in segments.continued:
            stretch = int(segments.stretch[segment])
            if segments.wanted[segment] and stretch not in self.open:
                raise ValueError(f"stretch {stretch} goes on, and what is before it did not run")
            before.append(self.open.get(stretch, nothing) if segments.wanted[segment] else nothing)
        return [Carry([states[block] for states in before], segments) for block in range(blocks)]

    def update(self, segments: Segments, carries: list["Carry"]) -> None:
        """Take what a pack leaves, and forget the stretches that end in it."""
        for segment in segments.continued[segments.wanted[segments.continued]]:
            stretch = int(segments.stretch[segment])
            del self.open[stretch], self.tokens[stretch]
        for row, segment in enumerate(segments.going_on):
            stretch = int(segments.stretch[segment])
            self.open[stretch] = [carry.after[row] for carry in carries]
            self.tokens[stretch] = int(segments.stretch_tokens[segment])

    def tokens_with(self, segments: Segments) -> int:
        """Tokens of the stretches that are open while a pack runs, or will be then."""
        mine = {
            int(segments.stretch[segment]): int(segments.stretch_tokens[segment])
            for segment in segments.going_on
        }
        return sum({**self.tokens, **mine}.values())


class Carry:
    """The states of one block at the borders of a pack's pieces.

    Attributes
    ----------
    before : list of dict, P
        By segment that goes on with a stretch (`Segments.continued`): its state, by name. Empty
        for a segment whose outputs are not wanted.
    after : list of dict, F
        By segment whose stretch goes on (`Segments.going_on`), to be filled in.
    """

    def __init__(self, before: list[dict], segments: Segments):
        self.before, self.segments = before, segments
        self.after: list[dict] = [{} for _ in segments.going_on]

    def stacked(self, name: str, shape: tuple[int, ...], like: torch.Tensor) -> torch.Tensor | None:
        """A state of all segments that go on with a stretch, (P, *shape); zeros where there is
        none. None without such segments."""
        if not self.before:
            return None
        zeros = like.new_zeros(shape)
        return torch.stack([state.get(name, zeros) for state in self.before])

    def tails(self, name: str, channels: int, reach: int, like: torch.Tensor) -> "Tails":
        """The last inputs of a filter that looks back `reach` tokens."""
        return Tails(self, name, self.stacked(name, (channels, reach), like), reach)


class Tails:
    """Last inputs of a filter at the borders of a pack's pieces.

    Attributes
    ----------
    before : Tensor or None, (P, C, reach)
        Those before the pieces that go on with a stretch.
    """

    def __init__(self, carry: Carry, name: str, before: torch.Tensor | None, reach: int):
        self.carry, self.name, self.before, self.reach = carry, name, before, reach

    def keep(self, values: torch.Tensor, first: int) -> None:
        """Keep the last inputs of the pieces that end in `values`, and whose stretches go on.

        Parameters
        ----------
        values : Tensor, (C, t)
            The inputs of the tokens from `first` on of a pack.
        """
        segments, stop = self.carry.segments, first + values.shape[1]
        for row, segment in enumerate(segments.going_on):
            end, length = int(segments.ends[segment]), int(segments.lengths[segment])
            start = end - min(length, self.reach)
            if start < first or end > stop:
                continue
            tail = values[:, start - first : end - first]
            if length < self.reach:
                tail = torch.cat([self._before(segment, length, tail), tail], 1)
            self.carry.after[row][self.name] = tail.clone()

    def _before(self, segment: int, length: int, like: torch.Tensor) -> torch.Tensor:
        """The inputs before a segment that are still among the last ones behind it."""
        row = self.carry.segments.row_of(segment)
        if row is None:
            return like.new_zeros(len(like), self.reach - length)
        return self.before[row, :, length:]


class ModalStates:
    """Modal states of an implicit filter at the borders of a pack's pieces.

    Attributes
    ----------
    before : Tensor of float64 or None, (P, C, 16)
        Those before the pieces that go on with a stretch.
    after : Tensor of float64, (F, C, 16)
        Those behind the pieces whose stretch goes on, to be filled in.
    """

    def __init__(self, carry: Carry, shape: tuple[int, ...], device: torch.device):
        self.after = torch.empty(len(carry.after), *shape, dtype=torch.float64, device=device)
        self.before = carry.stacked("modes", shape, self.after)
        for state, after in zip(carry.after, self.after, strict=True):
            state["modes"] = after
