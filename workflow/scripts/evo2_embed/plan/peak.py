"""GPU memory of an embedding job, from the settings of the model: computed, not measured."""

from dataclasses import dataclass

import numpy as np

from evo2_embed.config.context import longest_stretch
from evo2_embed.engine.footprint import MIN_TILE, Footprint, KVCacheOptions
from evo2_embed.engine.segment_lengths import SegmentLengths
from evo2_embed.model.registry import context_length, model_config
from evo2_embed.plan.parameters import weight_bytes
from evo2_embed.settings.extraction import Extraction
from evo2_embed.settings.settings import Settings

# Contexts and segments in the table of `make plan` (tokens).
CONTEXTS = (8192, 65_536, 262_144, 1_048_576)
SEGMENTS = (2048, 8192, 32_768)


@dataclass(frozen=True)
class Peak:
    """Memory of an extraction's jobs, in bytes.

    Attributes
    ----------
    weights : int
    pack, least : int or None
        A full pack, in addition to the weights; and the smallest part that must fit: one window,
        or the shortest segment of a stretch that runs in segments. None for the stock engine, which
        has no formula.
    host : int
        KV cache in host memory.
    """

    weights: int
    pack: int | None
    least: int | None
    host: int = 0


def gpu_peak(settings: Settings, extraction: str) -> Peak:
    """Peak GPU memory of an extraction's jobs.

    Parameters
    ----------
    settings : Settings
        Complete.
    extraction : str
        Its name.
    """
    wanted = settings.extractions[extraction]
    config = model_config(wanted.model.name)
    weights = weight_bytes(config, wanted.precision)
    if wanted.engine != "packed":
        return Peak(weights, None, None)
    memory = _footprint_of(settings, wanted)
    packing, stretch = settings.packing, longest_stretch(settings)
    if stretch > packing.piece:
        pack, host = _in_segments(memory, stretch, packing.piece, packing.max_tokens)
        least = min(MIN_TILE, packing.piece)
        return Peak(weights, pack, _in_segments(memory, stretch, least, least)[0], host)
    full = [stretch] * (packing.max_tokens // stretch)
    rest = packing.max_tokens - sum(full)
    packs = [full, full + [rest]] if rest else [full]
    sizes = [memory.bytes(SegmentLengths(np.array(lengths))) for lengths in packs]
    return Peak(weights, max(sizes), memory.bytes(SegmentLengths(np.array([stretch]))))


def context_peaks(settings: Settings, extraction: str) -> dict[int, dict[int, int]]:
    """GPU memory of one stretch, with weights and KV cache, in bytes.

    Returns
    -------
    dict of int to dict of int to int
        By context (tokens, up to the model's training context) and segment length (tokens).
    """
    wanted = settings.extractions[extraction]
    name = wanted.model.name
    weights = weight_bytes(model_config(name), wanted.precision)
    memory = _footprint_of(settings, wanted)
    return {
        context: {
            length: weights + _in_segments(memory, context, length, length)[0]
            for length in SEGMENTS
            if length <= context
        }
        for context in CONTEXTS
        if context <= context_length(name)
    }


def _in_segments(memory: Footprint, stretch: int, longest: int, max_tokens: int) -> tuple[int, int]:
    """Bytes on the GPU, and on the host, of a full pack of last segments of long stretches."""
    lengths = [longest] * (max_tokens // longest)
    if max_tokens % longest:
        lengths.append(max_tokens % longest)
    before = np.array([max(stretch - length, 0) for length in lengths])
    needed = memory.bytes(SegmentLengths(np.array(lengths), before))
    kept = memory.cache_bytes(stretch * len(lengths)) if stretch > longest else 0
    return (needed, kept) if memory.kv_cache.device == "host" else (needed + kept, 0)


def _footprint_of(settings: Settings, wanted: Extraction) -> Footprint:
    return Footprint.of_model(
        model_config(wanted.model.name),
        wanted.outputs,
        4 if wanted.precision == "fp32" else 2,
        "cuda",
        KVCacheOptions(wanted.kv_type, settings.runtime.kv_device),
        "torch" if settings.runtime.kernels == "torch" else "triton",
    )
