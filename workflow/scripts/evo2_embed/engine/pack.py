"""What engines take and give."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

import numpy as np
import torch

_OF_SEGMENTS = ("stretch", "position", "left", "wanted")


@dataclass(frozen=True)
class Pack:
    """The tokens of one forward pass.

    Attributes
    ----------
    tokens : ndarray of uint8, (T,) or, padded, (S * width,)
    cu_seqlens : ndarray of int64, (S + 1,)
        Where segments start and end among the T tokens that are no pads.
    width : int
        Tokens in a row of a padded pack; 0 for a packed one.
    stretch, position, left : ndarray of int64, (S,)
        A segment may be a piece of a stretch, whose pieces run in several packs, in their order:
        number of the stretch, and its tokens before and after the segment. Without them every
        segment is a stretch of its own.
    wanted : ndarray of bool, (S,)
        Segments whose outputs are not, though they keep their place, need no past.
    """

    tokens: np.ndarray
    cu_seqlens: np.ndarray
    width: int = 0
    stretch: np.ndarray | None = None
    position: np.ndarray | None = None
    left: np.ndarray | None = None
    wanted: np.ndarray | None = None

    def __post_init__(self):
        segments = len(self.cu_seqlens) - 1
        for name, default in (
            ("stretch", np.arange(segments)),
            ("position", np.zeros(segments, np.int64)),
            ("left", np.zeros(segments, np.int64)),
            ("wanted", np.ones(segments, bool)),
        ):
            if getattr(self, name) is None:
                object.__setattr__(self, name, default)

    @cached_property
    def lengths(self) -> np.ndarray:
        """Tokens of each segment, (S,)."""
        return np.diff(self.cu_seqlens)

    @property
    def kept(self) -> np.ndarray:
        """Which tokens of a padded pack are no pads, (S, width)."""
        return np.arange(self.width) < self.lengths[:, None]

    def part(self, first: int, last: int) -> "Pack":
        """The segments [first, last) of a packed pack."""
        ends = self.cu_seqlens[first : last + 1]
        return replace(
            self,
            tokens=self.tokens[ends[0] : ends[-1]],
            cu_seqlens=ends - ends[0],
            **{name: getattr(self, name)[first:last] for name in _OF_SEGMENTS},
        )

    def parts(self, middle: int) -> tuple["Pack", "Pack"]:
        """A packed pack as two, the second of which begins with the segment `middle`."""
        return self.part(0, middle), self.part(middle, len(self.lengths))

    def halves(self) -> tuple["Pack", "Pack"]:
        """A pack of one segment as two, with a piece of it each."""
        total = len(self.tokens)
        middle = total // 2
        return (
            replace(
                self,
                tokens=self.tokens[:middle],
                cu_seqlens=np.array([0, middle]),
                left=self.left + total - middle,
            ),
            replace(
                self,
                tokens=self.tokens[middle:],
                cu_seqlens=np.array([0, total - middle]),
                position=self.position + middle,
            ),
        )

    def without_pads(self) -> "Pack":
        """The same segments, end to end."""
        if not self.width:
            return self
        return replace(self, tokens=self.tokens[self.kept.reshape(-1)], width=0)


class Engine(Protocol):
    """What turns a pack into token embeddings.

    It is made from an `evo2.models.Evo2` and the names of the layers.
    """

    def run(self, pack: Pack) -> dict[str, torch.Tensor]:
        """Token embeddings of a pack.

        Returns
        -------
        dict of str to Tensor, (T, width of the layer)
            By layer; tokens in the order of the pack, pads left out, on the device of the layer.
        """
        ...
