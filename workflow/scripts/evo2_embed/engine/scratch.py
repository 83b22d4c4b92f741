"""Buffers that are used again."""

import numpy as np
import torch


class Scratch:
    """Buffers that are used again, tile after tile, block after block and pack after pack.

    A fresh large tensor costs a page fault every 4 KiB on a CPU, more than filling it.
    """

    def __init__(self):
        self._buffers: dict[tuple, torch.Tensor] = {}

    def clear(self) -> None:
        """Give the buffers back."""
        self._buffers.clear()

    def get(
        self,
        name: str,
        shape: tuple[int, ...],
        like: torch.Tensor,
        dtype: torch.dtype | None = None,
    ) -> torch.Tensor:
        """An uninitialised tensor of this shape, on the device and, if no other, of the type of
        `like`."""
        key, size = (name, dtype or like.dtype, like.device), int(np.prod(shape))
        if key not in self._buffers or len(self._buffers[key]) < size:
            self._buffers[key] = like.new_empty(size, dtype=dtype)
        return self._buffers[key][:size].view(shape)

    def linear(self, name: str, values: torch.Tensor, layer: torch.nn.Module) -> torch.Tensor:
        """What a linear layer gives for values (n, width), in a buffer of that name."""
        return linear(values, layer, self.get(name, (len(values), len(layer.weight)), values))


def linear(values: torch.Tensor, layer: torch.nn.Module, out: torch.Tensor) -> torch.Tensor:
    """What a linear layer gives for values (n, width), put into `out`."""
    if layer.bias is None:
        return torch.mm(values, layer.weight.t(), out=out)
    return torch.addmm(layer.bias, values, layer.weight.t(), out=out)
