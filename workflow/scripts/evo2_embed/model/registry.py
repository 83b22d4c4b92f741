"""Facts about a model without loading it: its settings, layers, widths and limits.

Facts come from the YAML files inside the installed `evo2` package, read without importing torch,
and from the bundled `evo2_tiny.yml`, which has the same keys.
"""

import importlib.util
import re
from functools import cache
from pathlib import Path

import yaml

from evo2_embed.io.errors import InputError
from evo2_embed.settings.extraction import SCORES

TINY = "evo2_tiny"
# Outputs for which all blocks run.
AFTER_BLOCKS = frozenset({"norm", SCORES})
RESOURCES = Path(__file__).resolve().parents[4] / "resources"

# Outputs with one vector per token, by kind of block; "" is the block: the residual stream.
_EVERY_BLOCK = ("", "pre_norm", "post_norm", "mlp", "mlp.l1", "mlp.l2", "mlp.l3")
_HYENA_BLOCK = ("projections", "filter", "out_filter_dense")
_ATTENTION_BLOCK = ("inner_mha_cls", "inner_mha_cls.Wqkv", "inner_mha_cls.out_proj")
_OUTSIDE = ("embedding_layer", "norm")


@cache
def model_names() -> tuple[str, ...]:
    """Allowed values of `model.name`: the bundled model and all models of `evo2`."""
    return (TINY, *sorted(_evo2_tables().MODEL_NAMES))


def hub_repository(name: str) -> str:
    """Repository on the Hugging Face hub that holds a named model's checkpoint."""
    return _evo2_tables().HF_MODEL_NAME_MAP[name]


@cache
def model_config(name: str) -> dict:
    """The StripedHyena settings of a model, as in its YAML file."""
    if name == TINY:
        path = RESOURCES / f"{TINY}.yml"
    elif name in model_names():
        path = package_folder() / _evo2_tables().CONFIG_MAP[name]
    else:
        raise InputError(f"no model '{name}' (allowed: {', '.join(model_names())})")
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def bundled_checkpoint() -> Path:
    """Weights of the bundled model."""
    return RESOURCES / f"{TINY}.pt"


def context_length(name: str) -> int:
    """The model's training context, in tokens.

    `evo2_7b_base` was trained with 8,192 tokens, but its YAML file says 32,768 (`max_seqlen`). Its
    value comes from the file's name, which says 8k.
    """
    if name != TINY and _evo2_tables().CONFIG_MAP[name].endswith("-8k.yml"):
        return 8192
    return model_config(name)["max_seqlen"]


def precisions(name: str) -> tuple[str, ...]:
    """Allowed precisions of a model. 1B, 20B and 40B were trained with FP8 and need it."""
    if name == TINY:
        return ("fp32", "bf16")
    return ("bf16", "fp8", "fp32") if "7b" in name else ("fp8",)


@cache
def package_folder() -> Path:
    """Folder of the installed package `evo2`, found without importing it."""
    spec = importlib.util.find_spec("evo2")
    if spec is None or not spec.submodule_search_locations:
        raise InputError(
            "the package 'evo2' is not installed beside this Snakemake; the workflow reads the "
            "models' settings from it ('make env' installs it)"
        )
    return Path(spec.submodule_search_locations[0])


@cache
def layer_widths(name: str) -> dict[str, int]:
    """All layers of a model, in the order of the forward pass, with their widths."""
    return widths_of(model_config(name))


def widths_of(config: dict) -> dict[str, int]:
    """As `layer_widths`, for any StripedHyena settings."""
    width, inner = config["hidden_size"], inner_size(config)
    special = {"projections": 3 * width, "inner_mha_cls.Wqkv": 3 * width}
    special |= dict.fromkeys(("mlp.l1", "mlp.l2", "mlp.act"), inner)
    layers = {"embedding_layer": width}
    for index in range(config["num_layers"]):
        attention = index in config["attn_layer_idxs"]
        parts = list(_EVERY_BLOCK + (_ATTENTION_BLOCK if attention else _HYENA_BLOCK))
        if index > 0 and config.get("evo2_style_activations", False):
            parts.append("mlp.act")  # an nn.Identity; in the first block a function
        for part in parts:
            layers[f"blocks.{index}.{part}".rstrip(".")] = special.get(part, width)
    if config.get("final_norm", True):
        layers["norm"] = width
    return layers


def layer_fault(name: str, layer: str) -> str | None:
    """The error in a layer's name for this model, in one line; None if it is valid."""
    layers = layer_widths(name)
    if layer in layers:
        return None
    blocks = model_config(name)["num_layers"]
    match = re.match(r"blocks\.(\d+)(?:\.|$)", layer)
    if match and int(match[1]) >= blocks:
        return f"{name} has {blocks} blocks, blocks.0 to blocks.{blocks - 1}"
    if match:
        prefix = f"blocks.{int(match[1])}"
        parts = [x for x in layers if x == prefix or x.startswith(f"{prefix}.")]
        return f"allowed in this block of {name}: {', '.join(parts)}"
    return f"allowed for {name}: {', '.join(_OUTSIDE)}, blocks.N and the parts of a block"


def inner_size(config: dict) -> int:
    """Width of the MLP inside a block."""
    if "inner_mlp_size" in config:
        return config["inner_mlp_size"]
    multiple = config.get("inner_size_multiple_of", 64) * config["model_parallel_size"]
    return -(-int(2 * config["hidden_size"] * 4 / 3) // multiple) * multiple


def blocks_run(config: dict, layers: list[str]) -> int:
    """Number of blocks that the packed engine runs for these layers, or `scores`."""
    if AFTER_BLOCKS.intersection(layers):
        return config["num_layers"]
    return 1 + max((int(block) for _, block, *_ in in_blocks(layers)), default=-1)


def in_blocks(layers: list[str]) -> list[list[str]]:
    """The layers in blocks, each as `blocks`, the number of the block and its part, if any."""
    return [layer.split(".", 2) for layer in layers if layer.startswith("blocks.")]


@cache
def _evo2_tables():
    # Run separately: an import as part of the package would import torch and vortex.
    spec = importlib.util.spec_from_file_location("_evo2_tables", package_folder() / "utils.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
