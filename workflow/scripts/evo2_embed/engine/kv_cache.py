"""Keys and values of the tokens of a stretch, kept for its later pieces."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from evo2_embed.engine.footprint import KV_TILE

_LARGEST = 127  # of int8


@dataclass(frozen=True)
class Keeping:
    """How keys and values are kept.

    Attributes
    ----------
    kind : {"model", "bf16", "int8"}
        In the model's type, in bfloat16, or as whole numbers with a scale for every token and head.
    place : {"device", "host"}
        Beside the model, or in the memory of the host.
    """

    kind: str = "model"
    place: str = "device"


class KeysValues:
    """Keys and values of one stretch in one block.

    Parameters
    ----------
    tokens : int
        Of the stretch.
    like : Tensor, (n, 3, heads, head_dim)
        Queries, keys and values of a piece.
    keeping : Keeping
    """

    def __init__(self, tokens: int, like: torch.Tensor, keeping: Keeping):
        _, _, heads, size = like.shape
        self.device, self.dtype = like.device, like.dtype
        kind = {"model": like.dtype, "bf16": torch.bfloat16, "int8": torch.int8}[keeping.kind]
        device = torch.device("cpu") if keeping.place == "host" else like.device
        options = {"device": device, "pin_memory": device != like.device}
        self.values = torch.empty(2, heads, tokens, size, dtype=kind, **options)
        self.scales = None
        if kind == torch.int8:
            self.scales = torch.empty(2, heads, tokens, 1, dtype=torch.float32, **options)

    def put(self, first: int, piece: torch.Tensor) -> None:
        """Keep those of the tokens from `first` on: piece, (n, 2, heads, head_dim)."""
        piece = piece.permute(1, 2, 0, 3)  # (2, heads, n, head_dim)
        place = slice(first, first + piece.shape[2])
        if self.scales is not None:
            scales = piece.abs().amax(-1, keepdim=True).float() / _LARGEST
            piece = torch.round(piece / scales.clamp(min=torch.finfo(torch.float32).tiny))
            self.scales[:, :, place] = scales
        self.values[:, :, place] = piece

    def tiles(self, tokens: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        """Keys and values of the first `tokens` tokens, (1, heads, t, head_dim) each, on the device
        and in the type of the model.

        A tile at a time even where they are there already: PyTorch's kernel for CPUs copies the
        keys, if there are many queries.
        """
        for first in range(0, tokens, KV_TILE):
            place = slice(first, min(first + KV_TILE, tokens))
            values = self.values[:, :, place].to(self.device, non_blocking=True)
            if self.scales is not None:
                scales = self.scales[:, :, place].to(self.device, non_blocking=True)
                values = values.float().mul_(scales)
            keys, values = values.to(self.dtype)[:, None]
            yield keys, values
