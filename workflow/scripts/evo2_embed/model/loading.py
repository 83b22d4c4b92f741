"""Load a checkpoint as an `Evo2` object on a device."""

import pickle
from importlib.metadata import version
from pathlib import Path

import torch

from evo2_embed.io.errors import InputError
from evo2_embed.model.import_evo2 import has_flash_attention, import_evo2
from evo2_embed.model.registry import model_config

PACKAGES = ("evo2", "vtx", "torch")


def package_versions() -> dict[str, str]:
    """Versions of the packages that change embeddings."""
    return {name: version(name) for name in PACKAGES}


# What `torch.load` raises for a damaged file, and vortex for one that holds something else.
_NOT_A_CHECKPOINT = (
    pickle.UnpicklingError,
    EOFError,
    OSError,
    KeyError,
    RuntimeError,
    AttributeError,
    TypeError,
)


def load_model(name: str, checkpoint: str | Path, precision: str):
    """Load a model like `Evo2`, with a given precision and attention.

    Weights are rounded to bfloat16, as in vortex's `load_checkpoint` (except the poles and residues
    of the long filters); `fp32` computes with these weights in float32.

    Parameters
    ----------
    name : str
        A name of `registry.model_names()`.
    checkpoint : path
        The file with the weights. It is read with `weights_only`.
    precision : {"fp32", "bf16", "fp8"}

    Returns
    -------
    evo2.models.Evo2

    Raises
    ------
    InputError
        If the file is not a checkpoint, or a checkpoint of another model.
    """
    return build_model(model_config(name), checkpoint, precision, name)


def build_model(config: dict, checkpoint: str | Path, precision: str, name: str):
    """As `load_model`, for any StripedHyena settings."""
    evo2_models = import_evo2(fp8=precision == "fp8")
    if precision == "fp32":
        # Images for GPUs may switch TF32 on (TORCH_ALLOW_TF32_CUBLAS_OVERRIDE).
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    config = evo2_models.dotdict(config)
    config.use_fp8_input_projections = precision == "fp8"
    config.use_flash_attn = precision != "fp32" and has_flash_attention()
    model = evo2_models.StripedHyena(config)
    try:
        evo2_models.load_checkpoint(model, str(checkpoint))
    except _NOT_A_CHECKPOINT as error:
        if isinstance(error, torch.cuda.OutOfMemoryError):
            raise
        reason = " ".join(str(error).split())[:300]
        raise InputError(f"{checkpoint}: not a checkpoint of {name} ({reason})") from error
    if precision == "fp32":
        model.float()
    model.eval()
    # Like Evo2.__init__, which would choose the precision by the installed packages.
    evo2 = evo2_models.Evo2.__new__(evo2_models.Evo2)
    evo2.model = model
    evo2.tokenizer = evo2_models.CharLevelTokenizer(config.vocab_size)
    return evo2
