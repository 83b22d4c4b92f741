"""What a stretch keeps from one of its segments to the next, so that no context is cut off.

A filter of K taps needs its last K - 1 inputs, an implicit filter its modal state, attention the
keys and values of all earlier tokens. With these a segment gives what it would give in one forward
pass over the whole stretch up to its end.
"""

import torch

from evo2_embed.engine.segments import Segments


class States:
    """The states of all open stretches: begun, and not finished.

    They change only after a pack has run, so a pack that did not fit the memory can run again.
    """

    def __init__(self):
        self.open: dict[int, list[dict]] = {}  # by stretch, one dict per block
        self.tokens: dict[int, int] = {}  # by stretch, all its tokens

    def enter(self, segments: Segments, blocks: int) -> list["BlockState"]:
        """The states in which a pack enters the blocks, one per block.

        Raises
        ------
        ValueError
            When a segment continues a stretch whose earlier segments did not run here.
        """
        nothing: list[dict] = [{} for _ in range(blocks)]
        before = []
        for segment in segments.continued:
            stretch = int(segments.stretch[segment])
            if segments.wanted[segment] and stretch not in self.open:
                raise ValueError(f"stretch {stretch}: its earlier segments did not run")
            before.append(self.open.get(stretch, nothing) if segments.wanted[segment] else nothing)
        return [BlockState([states[i] for states in before], segments) for i in range(blocks)]

    def leave(self, segments: Segments, blocks: list["BlockState"]) -> None:
        """Keep the states in which a pack leaves the blocks; drop those of finished stretches."""
        for segment in segments.continued[segments.wanted[segments.continued]]:
            stretch = int(segments.stretch[segment])
            del self.open[stretch], self.tokens[stretch]
        for row, segment in enumerate(segments.unfinished):
            stretch = int(segments.stretch[segment])
            self.open[stretch] = [block.after[row] for block in blocks]
            self.tokens[stretch] = int(segments.stretch_tokens[segment])

    def tokens_with(self, segments: Segments) -> int:
        """Tokens of all stretches that are open during or after a pack."""
        mine = {
            int(segments.stretch[segment]): int(segments.stretch_tokens[segment])
            for segment in segments.unfinished
        }
        return sum({**self.tokens, **mine}.values())


class BlockState:
    """The state of one block before and after the segments of a pack.

    Attributes
    ----------
    before : list of dict, P
        Per segment that continues a stretch (`Segments.continued`): its state, by name. Empty for
        a segment whose outputs are not wanted.
    after : list of dict, F
        Per segment whose stretch continues (`Segments.unfinished`): to be filled in.
    """

    def __init__(self, before: list[dict], segments: Segments):
        self.before, self.segments = before, segments
        self.after: list[dict] = [{} for _ in segments.unfinished]

    def stacked(self, name: str, shape: tuple[int, ...], like: torch.Tensor) -> torch.Tensor | None:
        """A state of all segments that continue a stretch, (P, *shape), zero if there is none;
        None without such segments."""
        if not self.before:
            return None
        zeros = like.new_zeros(shape)
        return torch.stack([state.get(name, zeros) for state in self.before])

    def history(self, name: str, channels: int, reach: int, like: torch.Tensor) -> "FilterHistory":
        """The last inputs of a filter that looks back `reach` tokens."""
        return FilterHistory(self, name, self.stacked(name, (channels, reach), like), reach)


class FilterHistory:
    """The last inputs of a filter before and after the segments of a pack.

    Attributes
    ----------
    before : Tensor or None, (P, C, reach)
        Inputs before the segments that continue a stretch.
    """

    def __init__(self, state: BlockState, name: str, before: torch.Tensor | None, reach: int):
        self.state, self.name, self.before, self.reach = state, name, before, reach

    def keep(self, values: torch.Tensor, first: int) -> None:
        """Keep the last inputs of the segments that end in `values` and whose stretch continues.

        Parameters
        ----------
        values : Tensor, (C, t)
            The inputs of the pack's tokens from `first` on.
        """
        segments, stop = self.state.segments, first + values.shape[1]
        for row, segment in enumerate(segments.unfinished):
            end, length = int(segments.ends[segment]), int(segments.lengths[segment])
            start = end - min(length, self.reach)
            if start < first or end > stop:
                continue
            last = values[:, start - first : end - first]
            if length < self.reach:
                last = torch.cat([self._earlier(segment, length, last), last], 1)
            self.state.after[row][self.name] = last.clone()

    def _earlier(self, segment: int, length: int, like: torch.Tensor) -> torch.Tensor:
        """The inputs before a short segment that still belong to the last `reach`."""
        row = self.state.segments.row_of(segment)
        if row is None:
            return like.new_zeros(len(like), self.reach - length)
        return self.before[row, :, length:]


class ModalStates:
    """The modal states of an implicit filter before and after the segments of a pack.

    Attributes
    ----------
    before : Tensor of float64 or None, (P, C, 16)
        States before the segments that continue a stretch.
    after : Tensor of float64, (F, C, 16)
        States after the segments whose stretch continues, to be filled in.
    """

    def __init__(self, state: BlockState, shape: tuple[int, ...], device: torch.device):
        self.after = torch.empty(len(state.after), *shape, dtype=torch.float64, device=device)
        self.before = state.stacked("modes", shape, self.after)
        for kept, after in zip(state.after, self.after, strict=True):
            kept["modes"] = after
