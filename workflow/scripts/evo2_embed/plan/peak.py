"""GPU memory of an embedding job, from the settings of the model: computed, not measured."""

from dataclasses import dataclass

import numpy as np

from evo2_embed.config.context import longest_stretch
from evo2_embed.engine.footprint import (
    CHANNEL_ELEMENTS,
    MIN_TILE,
    MODES,
    TILE_ELEMENTS,
    Footprint,
    SegmentLengths,
)
from evo2_embed.model.models import context_length, inner_size, model_config, widths_of
from evo2_embed.plan.parameters import weight_bytes

# Parts of a block that need no other token.
_BEFORE_MIXER = {"pre_norm", "projections", "inner_mha_cls.Wqkv"}


# Contexts and pieces of the table of the plan (tokens).
CONTEXTS = (8192, 65_536, 262_144, 1_048_576)
PIECES = (2048, 8192, 32_768)


@dataclass(frozen=True)
class Peak:
    """Bytes that an extraction's jobs take.

    Attributes
    ----------
    weights : int
    pack, least : int or None
        Of a full pack beside the weights, and of the least that has to fit: one window, or of
        stretches that run in pieces the smallest piece. None for the stock engine, for which there
        is no formula.
    host : int
        Keys and values in the memory of the host.
    """

    weights: int
    pack: int | None
    least: int | None
    host: int = 0


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
    memory = _footprint_of(settings, wanted)
    packing, stretch = settings["packing"], longest_stretch(settings)
    if stretch > packing["piece"]:
        pack, host = _in_pieces(memory, stretch, packing["piece"], packing["max_tokens"])
        piece = min(MIN_TILE, packing["piece"])
        return Peak(weights, pack, _in_pieces(memory, stretch, piece, piece)[0], host)
    full = [stretch] * (packing["max_tokens"] // stretch)
    rest = packing["max_tokens"] - sum(full)
    packs = [full, full + [rest]] if rest else [full]
    sizes = [memory.bytes(SegmentLengths(np.array(lengths))) for lengths in packs]
    return Peak(weights, max(sizes), memory.bytes(SegmentLengths(np.array([stretch]))))


def context_peaks(settings: dict, extraction: str) -> dict[int, dict[int, int]]:
    """GPU memory of one stretch, weights and keys and values included, in bytes.

    Returns
    -------
    dict of int to dict of int to int
        By context (tokens), as far as the model was trained for, by piece (tokens).
    """
    wanted = settings["extractions"][extraction]
    name = wanted["model"]["name"]
    weights = weight_bytes(model_config(name), wanted["precision"])
    memory = _footprint_of(settings, wanted)
    return {
        context: {
            piece: weights + _in_pieces(memory, context, piece, piece)[0]
            for piece in PIECES
            if piece <= context
        }
        for context in CONTEXTS
        if context <= context_length(name)
    }


def _in_pieces(memory: Footprint, stretch: int, piece: int, max_tokens: int) -> tuple[int, int]:
    """Bytes on the GPU, and on the host, of a full pack of pieces that end long stretches."""
    lengths = [piece] * (max_tokens // piece)
    if max_tokens % piece:
        lengths.append(max_tokens % piece)
    before = np.array([max(stretch - length, 0) for length in lengths])
    needed = memory.bytes(SegmentLengths(np.array(lengths), before))
    kept = memory.kept_bytes(stretch * len(lengths)) if stretch > piece else 0
    return (needed, kept) if memory.kv_device == "host" else (needed + kept, 0)


def _footprint_of(settings: dict, wanted: dict) -> Footprint:
    return footprint(
        model_config(wanted["model"]["name"]),
        wanted["layers"],
        wanted["precision"],
        kv_type=wanted["kv_type"],
        kv_device=settings["runtime"]["kv_device"],
    )


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
