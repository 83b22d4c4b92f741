"""GPU memory of an embedding job, from the settings of the model: computed, not measured."""

from dataclasses import dataclass

import numpy as np

from evo2_embed.cost.parameters import weight_bytes
from evo2_embed.footprint import (
    CHANNEL_ELEMENTS,
    MIN_TILE,
    MODES,
    TILE_ELEMENTS,
    Footprint,
    SegmentLengths,
)
from evo2_embed.models import inner_size, model_config, widths_of

# Parts of a block that need no other token.
_BEFORE_MIXER = {"pre_norm", "projections", "inner_mha_cls.Wqkv"}


@dataclass(frozen=True)
class Peak:
    """Bytes of the weights; of a full pack beside them, and of one window, the least that has to
    fit; these two are None for the stock engine, for which there is no formula."""

    weights: int
    pack: int | None
    window: int | None


def gpu_peak(settings: dict, extraction: str) -> Peak:
    """Peak GPU memory of an extraction's jobs.

    Parameters
    ----------
    settings : dict
        Complete, as `run.plan_run` gives them.
    extraction : str
        Its name.
    """
    wanted = settings["extractions"][extraction]
    config = model_config(wanted["model"]["name"])
    weights = weight_bytes(config, wanted["precision"])
    if wanted["engine"] != "packed":
        return Peak(weights, None, None)
    memory = footprint(config, wanted["layers"], wanted["precision"])
    packing, window = settings["packing"], settings["windows"]["size"]
    tokens = window + packing["bos"]
    full = [tokens] * (packing["max_tokens"] // tokens)
    rest = packing["max_tokens"] - sum(full)
    packs = [full, full + [rest]] if rest else [full]
    sizes = [memory.bytes(SegmentLengths(np.array(lengths))) for lengths in packs]
    return Peak(weights, max(sizes), memory.bytes(SegmentLengths(np.array([tokens]))))


def footprint(
    config: dict,
    layers: list[str],
    precision: str,
    device: str = "cuda",
    kv_type: str = "model",
    kv_device: str = "device",
) -> Footprint:
    """The footprint that the packed engine has for a model with these settings."""
    width, widths = config["hidden_size"], widths_of(config)
    itemsize = 4 if precision == "fp32" else 2
    groups = [config["hcm_filter_groups"]] if config["hcm_layer_idxs"] else []
    mixing = _mixing_blocks(config, layers)
    attention = [block for block in mixing if block in config["attn_layer_idxs"]]
    return Footprint(
        width=width,
        inner=inner_size(config),
        head=width // config["num_attention_heads"],
        outputs=sum(widths[layer] for layer in layers),
        itemsize=itemsize,
        tile=max(MIN_TILE, TILE_ELEMENTS[device] // width),
        channel_elements=CHANNEL_ELEMENTS[device],
        channel_step=max((width // group for group in groups), default=1),
        attention_blocks=len(attention),
        state=sum(_state_bytes(config, block, itemsize) for block in mixing - set(attention)),
        kv_type=kv_type,
        kv_device=kv_device,
    )


def _mixing_blocks(config: dict, layers: list[str]) -> set[int]:
    """The blocks that get as far as their filter, or their attention, for these layers."""
    if "norm" in layers:
        return set(range(config["num_layers"]))
    asked = [layer.split(".", 2) for layer in layers if layer != "embedding_layer"]
    deepest = max((int(block) for _, block, *_ in asked), default=-1)
    parts = {"".join(part) for _, block, *part in asked if int(block) == deepest}
    return set(range(deepest + bool(parts - _BEFORE_MIXER)))


def _state_bytes(config: dict, block: int, itemsize: int) -> int:
    """States of a stretch in a Hyena block: last inputs of filters, or float64 modes."""
    width = config["hidden_size"]
    projections = 3 * width * (config["short_filter_length"] - 1) * itemsize
    if block in config["hcl_layer_idxs"]:
        return projections + 8 * width * MODES
    kind = "hcm" if block in config["hcm_layer_idxs"] else "hcs"
    return projections + width * (config[f"{kind}_filter_length"] - 1) * itemsize
