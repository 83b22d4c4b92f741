"""GPU memory of an embedding job, from the settings of the model: computed, not measured."""

from dataclasses import dataclass

import numpy as np

from evo2_embed.cost.parameters import weight_bytes
from evo2_embed.footprint import (
    CHANNEL_ELEMENTS,
    MIN_TILE,
    TILE_ELEMENTS,
    Footprint,
    SegmentLengths,
)
from evo2_embed.models import inner_size, model_config, widths_of


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


def footprint(config: dict, layers: list[str], precision: str, device: str = "cuda") -> Footprint:
    """The footprint that the packed engine has for a model with these settings."""
    width, widths = config["hidden_size"], widths_of(config)
    groups = [config["hcm_filter_groups"]] if config["hcm_layer_idxs"] else []
    return Footprint(
        width=width,
        inner=inner_size(config),
        head=width // config["num_attention_heads"],
        outputs=sum(widths[layer] for layer in layers),
        itemsize=4 if precision == "fp32" else 2,
        tile=max(MIN_TILE, TILE_ELEMENTS[device] // width),
        channel_elements=CHANNEL_ELEMENTS[device],
        channel_step=max((width // group for group in groups), default=1),
    )
