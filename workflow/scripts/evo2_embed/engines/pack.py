"""What engines take and give."""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import torch


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
    """

    tokens: np.ndarray
    cu_seqlens: np.ndarray
    width: int = 0

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
        return Pack(self.tokens[ends[0] : ends[-1]], ends - ends[0])

    def without_pads(self) -> "Pack":
        """The same segments, end to end."""
        if not self.width:
            return self
        return Pack(self.tokens[self.kept.reshape(-1)], self.cu_seqlens)


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
