"""Self-check: the packed engine against the stock one, with the job's weights and device."""

import numpy as np
import torch

from evo2_embed.engine.pack import Pack
from evo2_embed.engine.packed import PackedEngine
from evo2_embed.engine.stock import StockEngine
from evo2_embed.io.errors import InputError

# Tokens of the segments that are compared: shorter than the filters, and of several blocks.
LENGTHS = (1, 5, 100, 600)
# Largest root mean square of the difference, relative to that of the stock output, by precision.
# Measured on a CPU over all layers of evo2_tiny: fp32 9e-7, bf16 0.022 (the stock model in bf16
# differs as much from itself in float32). fp8 could not be measured.
TOLERANCE = {"fp32": 1e-5, "bf16": 0.06, "fp8": 0.15}
# What a KV cache of another type may add. Measured in the same way: bf16 2e-3, int8 5e-3.
CACHE_TOLERANCE = {"model": 0.0, "bf16": 0.01, "int8": 0.02}
# Tokens per segment in the second run of the longest one, as a stretch of several segments.
SEGMENT = 250
SEED = 0


def check_engine(engine: PackedEngine, evo2, layers: list[str], precision: str) -> dict:
    """Compare the packed engine with `Evo2.forward` on a few short random segments, in one pack,
    and the longest also as a stretch that runs in several packs.

    Returns
    -------
    dict
        `segments` (their lengths), `tolerance`, and `difference`: by layer, the largest over the
        segments of the root mean square of the difference, relative to that of the stock output.

    Raises
    ------
    InputError
        When a difference is larger than the precision allows, or the stock output has values that
        are not finite.
    """
    bases = np.frombuffer(b"ACGT", np.uint8)
    tokens = np.random.default_rng(SEED).choice(bases, sum(LENGTHS))
    pack = Pack(tokens, np.concatenate([[0], np.cumsum(LENGTHS)]))
    stock, found = StockEngine(evo2, layers).run(pack), engine.run(pack)
    stretch = _run_stretch(engine, tokens[-LENGTHS[-1] :])
    tolerance = TOLERANCE[precision] + CACHE_TOLERANCE[engine.kv_cache.type]
    for layer in layers:
        if not stock[layer].isfinite().all():
            raise InputError(
                f"layer '{layer}': Evo2.forward itself gives values that are not finite "
                f"({precision}): the checkpoint or the precision does not suit the model"
            )
    difference = {}
    for layer in layers:
        wanted, packed = (outputs[layer].split(LENGTHS) for outputs in (stock, found))
        distances = [*map(_distance, wanted, packed), _distance(wanted[-1], stretch[layer])]
        # Not `max`, which can pass over NaN.
        difference[layer] = float(np.max(distances))
    for layer, value in difference.items():
        if not value <= tolerance:  # NaN is refused, too
            raise InputError(
                f"layer '{layer}': on this machine {type(engine).__name__} differs from "
                f"Evo2.forward by {value:.1e} (root mean square, relative); {precision} allows "
                f"{tolerance:g}. Use 'engine: stock', and please report it"
            )
    rounded = {layer: float(f"{value:.1e}") for layer, value in difference.items()}
    return {"segments": list(LENGTHS), "tolerance": tolerance, "difference": rounded}


def _run_stretch(engine: PackedEngine, tokens: np.ndarray) -> dict[str, torch.Tensor]:
    """Outputs of a stretch that runs in several packs of one segment."""
    outputs = []
    for offset in range(0, len(tokens), SEGMENT):
        segment = tokens[offset : offset + SEGMENT]
        ends, remaining = np.array([0, len(segment)]), len(tokens) - offset - len(segment)
        of_segment = map(np.atleast_1d, (0, offset, remaining))
        outputs.append(engine.run(Pack(segment, ends, 0, *of_segment)))
    return {layer: torch.cat([each[layer] for each in outputs]) for layer in outputs[0]}


def _distance(stock: torch.Tensor, found: torch.Tensor) -> float:
    """Root mean square of the difference, relative to that of the stock output."""
    stock, found = stock.double(), found.to(stock.device).double()
    return float((stock - found).square().mean().sqrt() / stock.square().mean().sqrt())
