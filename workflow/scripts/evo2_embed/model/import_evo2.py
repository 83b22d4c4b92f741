"""Import of `evo2` and `vortex`, with or without CUDA.

Without CUDA, the import needs four workarounds; with CUDA, `import_evo2` only imports. The import
of vortex opens `activations_debug.log` in the current folder, so it runs in a temporary folder.
"""

import contextlib
import importlib
import importlib.util
import logging
import os
import sys
import tempfile
import types
import warnings

import torch

from evo2_embed.io.errors import InputError

# Compute capability of the first GPUs with tensor cores for the type: Ampere and Ada.
CAPABILITY = {"bf16": (8, 0), "fp8": (8, 9)}


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


def import_evo2() -> types.ModuleType:
    """Import `evo2.models` on any machine, without leaving files in the working folder."""
    if "evo2.models" in sys.modules:
        return sys.modules["evo2.models"]
    if not torch.cuda.is_available():
        _prepare_without_cuda()
    _import_einops()
    with tempfile.TemporaryDirectory(prefix="evo2-embed.") as scratch, contextlib.chdir(scratch):
        import evo2.models
        from vortex.logging import activations_file_handler

        # Used only to debug activations.
        logging.getLogger().removeHandler(activations_file_handler)
        activations_file_handler.close()
    # At INFO a model logs all its settings and blocks.
    logging.getLogger("StripedHyena").setLevel(logging.WARNING)
    if not torch.cuda.is_available():
        _use_torch_rotary()
        warnings.filterwarnings("ignore", message="CUDA is not available", category=UserWarning)
    return evo2.models


def has_flash_attention() -> bool:
    """Whether vortex can run its flash-attention kernels here."""
    return torch.cuda.is_available() and importlib.util.find_spec("flash_attn_2_cuda") is not None


def _check_capability(device: torch.device, precision: str) -> None:
    needed, found = CAPABILITY.get(precision, (0, 0)), torch.cuda.get_device_capability(device)
    if found < needed:
        name = torch.cuda.get_device_name(device)
        raise InputError(
            "precision: {} needs a GPU of compute capability {}.{} or newer, not {} ({}.{})".format(
                precision, *needed, name, *found
            )
        )


def _import_einops() -> None:
    """Import what einops needs for tensors, without `torch._dynamo`.

    With it, einops registers its functions for `torch.compile`, which nothing here uses; the import
    alone takes two seconds.
    """
    if "torch._dynamo" in sys.modules:
        return
    sys.modules["torch._dynamo"] = None  # so that importing it fails, which einops allows for
    try:
        with warnings.catch_warnings(action="ignore"):
            importlib.import_module("einops._torch_specific")
    finally:
        del sys.modules["torch._dynamo"]


def _prepare_without_cuda() -> None:
    # vortex imports this compiled module, but calls nothing in it with use_flash_attn: False.
    if importlib.util.find_spec("flash_attn_2_cuda") is None:
        stand_in = types.ModuleType("flash_attn_2_cuda")
        stand_in.__spec__ = importlib.util.spec_from_loader("flash_attn_2_cuda", loader=None)
        sys.modules["flash_attn_2_cuda"] = stand_in
    # vortex enters torch.cuda.device(...) for the device of a tensor, also for a CPU.
    torch.cuda.device = _DeviceContext


class _DeviceContext(contextlib.nullcontext):
    """Replaces `torch.cuda.device` on a machine without CUDA; it does nothing."""


def _use_torch_rotary() -> None:
    # The Triton kernel needs a GPU; vortex has the same function in plain torch.
    from vortex.model import rotary

    def apply_rotary(x, cos, sin, interleaved=False, inplace=False, **_):
        length = x.shape[1]  # x: (batch, length, heads, head_dim); the tables may be longer
        rotated = rotary.apply_rotary_emb_torch(x, cos[:length], sin[:length], interleaved)
        return x.copy_(rotated) if inplace else rotated

    rotary.apply_rotary = apply_rotary


def hide_network() -> None:
    """Keep the hub's client offline: jobs read local weights."""
    os.environ["HF_HUB_OFFLINE"] = "1"
