"""Buffers that are reused."""

import numpy as np
import torch

# Matrix products on a GPU are fast only if rows start at multiples of 16 bytes.
PITCH = 64  # elements


def pitch_of(columns: int) -> int:
    """Elements from one row to the next."""
    return -(-columns // PITCH) * PITCH


class Scratch:
    """Buffers that are reused from tile to tile, block to block and pack to pack.

    A new large tensor costs a page fault every 4 KiB on a CPU, more than filling it.
    """

    def __init__(self):
        self._buffers: dict[tuple, torch.Tensor] = {}

    def clear(self) -> None:
        """Free the buffers."""
        self._buffers.clear()

    def get(
        self,
        name: str,
        shape: tuple[int, ...],
        like: torch.Tensor,
        dtype: torch.dtype | None = None,
    ) -> torch.Tensor:
        """An uninitialised tensor of this shape, on the device of `like` and of its type, or of
        `dtype`."""
        key, size = (name, dtype or like.dtype, like.device), int(np.prod(shape))
        if key not in self._buffers or len(self._buffers[key]) < size:
            self._buffers.pop(key, None)  # first, so that the two are never there together
            self._buffers[key] = like.new_empty(size, dtype=dtype)
        return self._buffers[key][:size].view(shape)

    def matrix(
        self,
        name: str,
        shape: tuple[int, int],
        like: torch.Tensor,
        dtype: torch.dtype | None = None,
    ) -> torch.Tensor:
        """As `get`, for a matrix whose rows start at multiples of `PITCH` elements."""
        rows, columns = shape
        return self.get(name, (rows, pitch_of(columns)), like, dtype)[:, :columns]

    def linear(self, name: str, values: torch.Tensor, layer: torch.nn.Module) -> torch.Tensor:
        """The output of a linear layer for values (n, width), in the buffer of this name."""
        return linear(values, layer, self.get(name, (len(values), len(layer.weight)), values))


def linear(values: torch.Tensor, layer: torch.nn.Module, out: torch.Tensor) -> torch.Tensor:
    """The output of a linear layer for values (n, width), written to `out`."""
    if layer.bias is None:
        return torch.mm(values, layer.weight.t(), out=out)
    return torch.addmm(layer.bias, values, layer.weight.t(), out=out)
