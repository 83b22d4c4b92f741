"""PyTorch or Triton."""

import torch

from evo2_embed.engine.kernels.interpreted import is_interpreted
from evo2_embed.io.errors import InputError
from evo2_embed.model.import_evo2 import triton_can_run


def choose_kernels(setting: str, device: torch.device) -> str:
    """The kernels for a device, "torch" or "triton".

    Parameters
    ----------
    setting : {"auto", "torch", "triton"}
        auto: Triton's where they can run, on GPUs.

    Raises
    ------
    InputError
        If Triton's kernels are asked for and cannot run.
    """
    here = device.type == "cuda" and triton_can_run()
    if setting == "triton" and not here and not is_interpreted():
        raise InputError(
            f"runtime.kernels: triton cannot run on {device}: it needs a GPU, a C compiler (gcc) "
            "and the headers of Python (python3-dev) (allowed here: auto, torch)"
        )
    if setting == "auto":
        return "triton" if here else "torch"
    return setting
