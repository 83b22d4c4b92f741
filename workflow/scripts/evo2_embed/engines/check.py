"""One engine against the stock one, on the weights and the device at hand."""

import numpy as np
import torch

from evo2_embed.engines.pack import Engine, Pack
from evo2_embed.engines.stock import StockEngine
from evo2_embed.errors import InputError

# Tokens of the segments that are compared: shorter than the filters, and of several blocks.
LENGTHS = (1, 5, 100, 600)
# Largest root mean square of the difference, relative to that of the stock output, by precision.
# Measured on a CPU over all layers of evo2_tiny: fp32 9e-7, bf16 0.022 (there the stock model is as
# far from its own float32). fp8 could not be measured.
TOLERANCE = {"fp32": 1e-5, "bf16": 0.06, "fp8": 0.15}
SEED = 0


def check_engine(engine: Engine, evo2, layers: list[str], precision: str) -> dict:
    """Compare an engine with `Evo2.forward` on a few short random segments.

    Returns
    -------
    dict
        `segments` (their lengths), `tolerance`, and `difference`: by layer, the largest over the
        segments of the root mean square of the difference, relative to that of the stock output.

    Raises
    ------
    InputError
        When a difference is larger than the precision allows, or the stock output has values that
        are no finite numbers.
    """
    bases = np.frombuffer(b"ACGT", np.uint8)
    tokens = np.random.default_rng(SEED).choice(bases, sum(LENGTHS))
    pack = Pack(tokens, np.concatenate([[0], np.cumsum(LENGTHS)]))
    stock, found = StockEngine(evo2, layers).run(pack), engine.run(pack)
    tolerance = TOLERANCE[precision]
    for layer in layers:
        if not stock[layer].isfinite().all():
            raise InputError(
                f"layer '{layer}': Evo2.forward itself gives values that are no finite numbers "
                f"({precision}): the checkpoint or the precision does not suit the model"
            )
    difference = {
        layer: max(map(_distance, stock[layer].split(LENGTHS), found[layer].split(LENGTHS)))
        for layer in layers
    }
    for layer, value in difference.items():
        if not value <= tolerance:
            raise InputError(
                f"layer '{layer}': on this machine {type(engine).__name__} differs from "
                f"Evo2.forward by {value:.1e} (root mean square, relative); {precision} allows "
                f"{tolerance:g}. Use 'engine: stock', and please report it"
            )
    rounded = {layer: float(f"{value:.1e}") for layer, value in difference.items()}
    return {"segments": list(LENGTHS), "tolerance": tolerance, "difference": rounded}


def _distance(stock: torch.Tensor, found: torch.Tensor) -> float:
    stock, found = stock.double(), found.to(stock.device).double()
    return float((stock - found).square().mean().sqrt() / stock.square().mean().sqrt())
