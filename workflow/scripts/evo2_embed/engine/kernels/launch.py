"""The start of a kernel, with what it moves and computes."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Work:
    """What a kernel moves and computes, for `make gpu-cost`.

    Attributes
    ----------
    bytes : int
        Bytes that it must read and write once.
    flops : float
        FLOPs of matrix products, each of which runs as three products of TF32 values.
    """

    bytes: int
    flops: float = 0.0


def launch(kernel: Callable, grid: tuple[int, ...], work: Work, *arguments, **constants) -> None:
    """Run a Triton kernel on the device of its first argument."""
    device = arguments[0].device
    with torch.cuda.device(device) if device.type == "cuda" else nullcontext():
        kernel[grid](*arguments, **constants)


def precision_of(dtype: torch.dtype) -> str:
    """How matrix products of float32 values are computed.

    Values of 16 bits are exact in TF32, so three products of TF32 values are as good as float32.
    """
    return "ieee" if dtype == torch.float32 else "tf32x3"
