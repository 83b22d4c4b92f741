"""Import of `evo2` and `vortex`, with or without CUDA, flash-attn and Transformer Engine.

The import of vortex opens `activations_debug.log` in the current folder, so it runs in a temporary
folder.
"""

import contextlib
import importlib
import importlib.util
import logging
import os
import shutil
import sys
import sysconfig
import tempfile
import types
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
import triton

from evo2_embed.io.errors import InputError
from evo2_embed.io.logs import log

# Compute capability of the first GPUs with tensor cores for the type: Ampere and Ada.
CAPABILITY = {"bf16": (8, 0), "fp8": (8, 9)}
FLASH = "flash_attn_2_cuda"


def choose_device(device: str, precision: str) -> torch.device:
    """The device to run on.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda"}
    precision : {"fp32", "bf16", "fp8"}

    Raises
    ------
    InputError
        If the device does not exist, or does not support the precision.
    """
    cuda = torch.cuda.is_available()
    if device == "cuda" and not cuda:
        raise InputError(
            "runtime.device: cuda, but this machine has no visible GPU (allowed: auto, cpu)"
        )
    chosen = torch.device("cuda:0" if cuda and device != "cpu" else "cpu")
    if chosen.type == "cpu" and precision != "fp32":
        raise InputError(
            f"precision: {precision} needs a GPU, and none is visible (allowed here: fp32)"
        )
    if chosen.type == "cpu" and cuda:
        raise InputError(
            "runtime.device: cpu, but vortex uses any GPU that it sees; "
            "set CUDA_VISIBLE_DEVICES to an empty value as well"
        )
    if chosen.type == "cuda":
        _check_capability(chosen, precision)
    if precision == "fp8" and importlib.util.find_spec("transformer_engine") is None:
        raise InputError(
            "precision: fp8 needs the package transformer_engine (see envs/gpu-fp8.yaml)"
        )
    return chosen


def import_evo2(fp8: bool = False) -> types.ModuleType:
    """Import `evo2.models` on any machine, without leaving files in the working folder.

    Parameters
    ----------
    fp8 : bool
        Let vortex use Transformer Engine, which FP8 needs. In other precisions its layers would
        only differ: float32 would be TF32, and checkpoints would lack its extra states. What the
        first call in a process chooses, holds.
    """
    if "evo2.models" in sys.modules:
        return sys.modules["evo2.models"]
    if not torch.cuda.is_available():
        _prepare_without_cuda()
    _provide_flash_attention()
    # einops would register its functions for torch.compile, which nothing here uses; this import
    # alone takes two seconds.
    with _without("torch._dynamo"), warnings.catch_warnings(action="ignore"):
        importlib.import_module("einops._torch_specific")
    with (
        tempfile.TemporaryDirectory(prefix="evo2-embed.") as scratch,
        contextlib.chdir(scratch),
        contextlib.nullcontext() if fp8 else _without("transformer_engine"),
    ):
        import evo2.models
        from vortex.logging import activations_file_handler

        # Used only to debug activations.
        logging.getLogger().removeHandler(activations_file_handler)
        activations_file_handler.close()
    # At INFO a model logs all its settings and blocks.
    logging.getLogger("StripedHyena").setLevel(logging.WARNING)
    if not triton_can_run():
        _use_torch_rotary()
    if not torch.cuda.is_available():
        # The wording depends on the version of torch.
        message = "(User provided device_type of 'cuda', but )?CUDA is not available"
        warnings.filterwarnings("ignore", message=message, category=UserWarning)
    return evo2.models


def has_flash_attention() -> bool:
    """Whether the kernels of flash-attn are here, and work with this torch.

    Without them attention runs in PyTorch's own kernels.
    """
    if not torch.cuda.is_available():
        return False
    _provide_flash_attention()
    return hasattr(sys.modules[FLASH], "varlen_fwd")


def triton_can_run() -> bool:
    """Whether Triton's kernels can run: on a GPU, with a C compiler and the headers of Python.

    Triton compiles a small starter for each kernel with them.
    """
    compilers = filter(None, (os.environ.get("CC"), "gcc", "clang"))
    return (
        torch.cuda.is_available()
        and any(map(shutil.which, compilers))
        and Path(sysconfig.get_paths()["include"], "Python.h").exists()
    )


def _check_capability(device: torch.device, precision: str) -> None:
    needed, found = CAPABILITY.get(precision, (0, 0)), torch.cuda.get_device_capability(device)
    if found < needed:
        name = torch.cuda.get_device_name(device)
        raise InputError(
            "precision: {} needs a GPU of compute capability {}.{} or newer, not {} ({}.{})".format(
                precision, *needed, name, *found
            )
        )


def _prepare_without_cuda() -> None:
    # vortex enters torch.cuda.device(...) for the device of a tensor, also for a CPU.
    torch.cuda.device = _DeviceContext
    # Older versions of triton ask their driver for this where a kernel is only defined.
    triton.runtime.driver.set_active(types.SimpleNamespace(get_benchmarker=lambda: None))


@contextlib.contextmanager
def _without(module: str) -> Iterator[None]:
    """A module that is not imported yet counts as not installed within the block."""
    if module in sys.modules:
        yield
        return
    sys.modules[module] = None
    try:
        yield
    finally:
        del sys.modules[module]


def _provide_flash_attention() -> None:
    """Import the kernels of flash-attn, or put an empty module in their place.

    vortex imports this module always, and calls nothing in it with `use_flash_attn: False`.
    """
    if FLASH in sys.modules:
        return
    try:
        importlib.import_module(FLASH)
    except ImportError as error:
        if importlib.util.find_spec(FLASH) is not None:
            reason = " ".join(str(error).split())[:200]
            log.warning("flash-attn does not fit this torch, and is not used (%s)", reason)
        stand_in = types.ModuleType(FLASH)
        stand_in.__spec__ = importlib.util.spec_from_loader(FLASH, loader=None)
        sys.modules[FLASH] = stand_in


class _DeviceContext(contextlib.nullcontext):
    """Replaces `torch.cuda.device` on a machine without CUDA; it does nothing."""


def _use_torch_rotary() -> None:
    # vortex has the same function in plain torch.
    from vortex.model import rotary

    def apply_rotary(x, cos, sin, interleaved=False, inplace=False, **_):
        length = x.shape[1]  # x: (batch, length, heads, head_dim); the tables may be longer
        rotated = rotary.apply_rotary_emb_torch(x, cos[:length], sin[:length], interleaved)
        return x.copy_(rotated) if inplace else rotated

    rotary.apply_rotary = apply_rotary


def hide_network() -> None:
    """Keep the hub's client offline: jobs read local weights."""
    os.environ["HF_HUB_OFFLINE"] = "1"
