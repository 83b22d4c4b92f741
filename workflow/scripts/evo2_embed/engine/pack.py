"""What engines take and give."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import numpy as np
import torch

_PER_SEGMENT = ("stretch", "offset", "remaining", "wanted", "parent")


@dataclass(frozen=True)
class Pack:
    """The tokens of one forward pass.

    Attributes
    ----------
    tokens : ndarray of uint8, (T,) or, padded, (S * width,)
    cu_seqlens : ndarray of int64, (S + 1,)
        Where segments start and end among the T tokens that are not padding.
    width : int
        Tokens per row of a padded pack; 0 for a packed one.
    stretch, offset, remaining : ndarray of int64, (S,)
        A segment may be a part of a stretch, whose segments run in order in several packs: the
        number of the stretch, and its tokens before and after the segment. By default each segment
        is a whole stretch.
    wanted : ndarray of bool, (S,)
        False for segments whose outputs are not needed: they keep their rows in the outputs, and
        need no earlier segments.
    parent : ndarray of int64, (S,)
        For the first segment of a fork the stretch that it begins in, its parent, and -1 for all
        other segments. `offset` and `remaining` of a fork's segments count as if the fork were the
        parent up to the fork point, and its own tokens after it.
    forks : ndarray of int64, (F, 3)
        Fork points: the index of a segment; the tokens of its stretch before the point, of which
        the last is in the segment; and how many forks begin there, all in later packs.
    """

    tokens: np.ndarray
    cu_seqlens: np.ndarray
    width: int = 0
    stretch: np.ndarray | None = None
    offset: np.ndarray | None = None
    remaining: np.ndarray | None = None
    wanted: np.ndarray | None = None
    parent: np.ndarray | None = None
    forks: np.ndarray | None = None

    def __post_init__(self):
        segments = len(self.cu_seqlens) - 1
        for name, default in (
            ("stretch", np.arange(segments)),
            ("offset", np.zeros(segments, np.int64)),
            ("remaining", np.zeros(segments, np.int64)),
            ("wanted", np.ones(segments, bool)),
            ("parent", np.full(segments, -1)),
            ("forks", np.empty((0, 3), np.int64)),
        ):
            if getattr(self, name) is None:
                object.__setattr__(self, name, default)

    @cached_property
    def lengths(self) -> np.ndarray:
        """Tokens of each segment, (S,)."""
        return np.diff(self.cu_seqlens)

    @property
    def kept(self) -> np.ndarray:
        """Which tokens of a padded pack are not padding, (S, width)."""
        return np.arange(self.width) < self.lengths[:, None]

    def split(self, middle: int) -> tuple["Pack", "Pack"]:
        """A packed pack as two packs, the second of which starts with segment `middle`."""
        return self._subset(0, middle), self._subset(middle, len(self.lengths))

    def _subset(self, first: int, last: int) -> "Pack":
        """The segments [first, last) of a packed pack."""
        ends = self.cu_seqlens[first : last + 1]
        mine = (self.forks[:, 0] >= first) & (self.forks[:, 0] < last)
        return replace(
            self,
            tokens=self.tokens[ends[0] : ends[-1]],
            cu_seqlens=ends - ends[0],
            forks=self.forks[mine] - [first, 0, 0],
            **{name: getattr(self, name)[first:last] for name in _PER_SEGMENT},
        )

    def halve(self) -> tuple["Pack", "Pack"]:
        """A pack of one segment as two packs of half a segment, of the same stretch."""
        total = len(self.tokens)
        middle = total // 2
        earlier = self.forks[:, 1] <= self.offset[0] + middle
        return (
            replace(
                self,
                tokens=self.tokens[:middle],
                cu_seqlens=np.array([0, middle]),
                remaining=self.remaining + total - middle,
                forks=self.forks[earlier],
            ),
            replace(
                self,
                tokens=self.tokens[middle:],
                cu_seqlens=np.array([0, total - middle]),
                offset=self.offset + middle,
                parent=np.full(1, -1),
                forks=self.forks[~earlier],
            ),
        )

    def without_padding(self) -> "Pack":
        """The same segments, end to end."""
        if not self.width:
            return self
        return replace(self, tokens=self.tokens[self.kept.reshape(-1)], width=0)


class Engine(Protocol):
    """What turns a pack into token embeddings.

    It is made from an `evo2.models.Evo2` and the names of the layers, of which `scores` stands for
    the log-likelihood of each token (`settings.extraction.SCORES`).
    """

    def run(self, pack: Pack) -> dict[str, torch.Tensor]:
        """Token embeddings of a pack.

        Returns
        -------
        dict of str to Tensor, (T, width of the layer)
            By layer; tokens in the order of the pack, without padding, on the layer's device.
        """
        ...

    def free_unused(self) -> None:
        """Give the memory that no pack is using back to the device."""
        ...
