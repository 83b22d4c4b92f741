"""What a stretch keeps from one of its segments to the next, so that no context is cut off.

A filter of K taps needs its last K - 1 inputs, an implicit filter its modal state, attention the
keys and values of all earlier tokens. With these a segment gives what it would give in one forward
pass over the whole stretch up to its end.

A fork is a stretch that begins inside another one, its parent: after tokens that both have in
common. The model is causal, so it starts from the parent's state at the fork point. A fork of a
fork is refused.
"""

from collections import ChainMap
from dataclasses import dataclass

import torch

from evo2_embed.engine.segments import Segments


@dataclass
class SavedState:
    """The state of a stretch after one of its tokens.

    Attributes
    ----------
    blocks : list of dict
        The states of all blocks, and of the scores.
    caches : dict of int to int
        By stretch, the tokens of the KV caches that belong to the state: those of the stretch and,
        if it is a fork, those of its parent.
    forks : int
        How many forks still have to begin from it.
    """

    blocks: list[dict]
    caches: dict[int, int]
    forks: int = 0


class States:
    """The states of all open stretches (begun, and not finished), and those at fork points.

    They change only after a pack has run, so a pack that did not fit the memory can run again.
    """

    def __init__(self):
        self.open: dict[int, SavedState] = {}  # by stretch
        # By stretch, and its tokens up to the fork point.
        self.at_forks: dict[tuple[int, int], SavedState] = {}

    def enter(self, segments: Segments, blocks: int) -> list["BlockState"]:
        """The states in which a pack enters the blocks, one per block.

        Raises
        ------
        ValueError
            When a segment continues a stretch whose earlier segments did not run here, a fork
            begins at a point whose state was not kept, or a fork has forks.
        """
        nothing: list[dict] = [{} for _ in range(blocks)]
        before = [
            self._before(segments, segment).blocks if segments.wanted[segment] else nothing
            for segment in segments.continued
        ]
        self._check_forks(segments)
        return [BlockState([states[i] for states in before], segments) for i in range(blocks)]

    def _before(self, segments: Segments, segment: int) -> SavedState:
        """The state in which a segment continues its stretch, or begins a fork."""
        stretch, parent = int(segments.stretch[segment]), int(segments.parent[segment])
        if parent < 0:
            if stretch not in self.open:
                raise ValueError(f"stretch {stretch}: its earlier segments did not run")
            return self.open[stretch]
        point = parent, int(segments.offset[segment])
        if point not in self.at_forks:
            raise ValueError(
                f"stretch {stretch}: begins after {point[1]} tokens of stretch {parent}, whose "
                "state there was not kept"
            )
        return self.at_forks[point]

    def _check_forks(self, segments: Segments) -> None:
        """Check that no fork has forks."""
        for segment in segments.kept[segments.forks > 0].tolist():
            stretch, parent = int(segments.stretch[segment]), int(segments.parent[segment])
            if parent >= 0 or set(self._caches(segments, segment)) - {stretch}:
                raise ValueError(f"stretch {stretch}: it is a fork, and a fork cannot have forks")

    def _caches(self, segments: Segments, segment: int) -> dict[int, int]:
        """`SavedState.caches` of a segment with kept states."""
        before = {}
        if segments.row_of(segment) is not None:
            before = self._before(segments, segment).caches
        stretch = int(segments.stretch[segment])
        if stretch in before:
            return before
        first = int(segments.offset[segment])  # of a fork, what it shares with its parent
        return before | {stretch: segments.cached_until(segment) - first}

    def leave(self, segments: Segments, blocks: list["BlockState"]) -> None:
        """Keep the states in which a pack leaves the blocks; drop those of finished stretches, and
        those of fork points from which all forks have begun."""
        saved = self._saved(segments, blocks)
        for segment in segments.continued[segments.wanted[segments.continued]].tolist():
            stretch, parent = int(segments.stretch[segment]), int(segments.parent[segment])
            if parent < 0:
                del self.open[stretch]
                continue
            point = parent, int(segments.offset[segment])
            self.at_forks[point].forks -= 1
            if not self.at_forks[point].forks:
                del self.at_forks[point]
        for row, state in enumerate(saved):
            segment = int(segments.kept[row])
            stretch, tokens = int(segments.stretch[segment]), int(segments.kept_lengths[row])
            if state.forks:
                self.at_forks[stretch, int(segments.offset[segment]) + tokens] = state
            if segments.remaining[segment] and tokens == segments.lengths[segment]:
                self.open[stretch] = state

    def _saved(self, segments: Segments, blocks: list["BlockState"]) -> list[SavedState]:
        """The states that a pack leaves; `blocks` may be empty."""
        return [
            SavedState(
                [block.after[row] for block in blocks],
                self._caches(segments, int(segment)),
                int(segments.forks[row]),
            )
            for row, segment in enumerate(segments.kept)
        ]

    def tokens_with(self, segments: Segments) -> int:
        """Tokens of all KV caches that are needed during or after a pack."""
        kept = [*self.open.values(), *self.at_forks.values(), *self._saved(segments, [])]
        return sum(ChainMap(*(state.caches for state in kept)).values())

    def count_with(self, segments: Segments) -> int:
        """Number of states at fork points that wait during or after a pack."""
        return len(self.at_forks) + int((segments.forks > 0).sum())


class BlockState:
    """The state of one block before and after the segments of a pack.

    Attributes
    ----------
    before : list of dict, P
        Per segment that continues a stretch, or begins a fork (`Segments.continued`): its state, by
        name. Empty for a segment whose outputs are not wanted.
    after : list of dict, K
        Per state that later packs need (`Segments.kept`): to be filled in.
    """

    def __init__(self, before: list[dict], segments: Segments):
        self.before, self.segments = before, segments
        self.after: list[dict] = [{} for _ in segments.kept]

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
        """Keep the last inputs before the kept states that are in `values`.

        Parameters
        ----------
        values : Tensor, (C, t)
            The inputs of the pack's tokens from `first` on.
        """
        segments, stop = self.state.segments, first + values.shape[1]
        for row, segment in enumerate(segments.kept):
            end, length = int(segments.kept_ends[row]), int(segments.kept_lengths[row])
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
    after : Tensor of float64, (K, C, 16)
        States that later packs need, to be filled in.
    """

    def __init__(self, state: BlockState, shape: tuple[int, ...], device: torch.device):
        self.after = torch.empty(len(state.after), *shape, dtype=torch.float64, device=device)
        self.before = state.stacked("modes", shape, self.after)
        for kept, after in zip(state.after, self.after, strict=True):
            kept["modes"] = after
