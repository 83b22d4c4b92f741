"""One engine against the stock one, on the weights and the device at hand."""

import numpy as np
import torch

from evo2_embed.engine.pack import Pack
from evo2_embed.engine.packed import PackedEngine
from evo2_embed.engine.stock import StockEngine
from evo2_embed.io.errors import InputError

# Tokens of the segments that are compared: shorter than the filters, and of several blocks.
LENGTHS = (1, 5, 100, 600)
# Largest root mean square of the difference, relative to that of the stock output, by precision.
# Measured on a CPU over all layers of evo2_tiny: fp32 9e-7, bf16 0.022 (there the stock model is as
# far from its own float32). fp8 could not be measured.
TOLERANCE = {"fp32": 1e-5, "bf16": 0.06, "fp8": 0.15}
# What keys and values kept in another type may add. Measured in the same way: bf16 2e-3, int8 5e-3.
KEPT = {"model": 0.0, "bf16": 0.01, "int8": 0.02}
PIECE = 250  # tokens, of the longest segment, which runs a second time piece by piece
SEED = 0


def check_engine(engine: PackedEngine, evo2, layers: list[str], precision: str) -> dict:
    """Compare the packed engine with `Evo2.forward` on a few short random segments, together in a
    pack, and the longest of them also in pieces.

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
    pieces = _run_in_pieces(engine, tokens[-LENGTHS[-1] :])
    tolerance = TOLERANCE[precision] + KEPT[engine.keeping.kind]
    for layer in layers:
        if not stock[layer].isfinite().all():
            raise InputError(
                f"layer '{layer}': Evo2.forward itself gives values that are no finite numbers "
                f"({precision}): the checkpoint or the precision does not suit the model"
            )
    difference = {}
    for layer in layers:
        wanted, packed = (outputs[layer].split(LENGTHS) for outputs in (stock, found))
        difference[layer] = max(
            _distance(wanted[-1], pieces[layer]), *map(_distance, wanted, packed)
        )
    for layer, value in difference.items():
        if not value <= tolerance:
            raise InputError(
                f"layer '{layer}': on this machine {type(engine).__name__} differs from "
                f"Evo2.forward by {value:.1e} (root mean square, relative); {precision} allows "
                f"{tolerance:g}. Use 'engine: stock', and please report it"
            )
    rounded = {layer: float(f"{value:.1e}") for layer, value in difference.items()}
    return {"segments": list(LENGTHS), "tolerance": tolerance, "difference": rounded}


def _run_in_pieces(engine: PackedEngine, tokens: np.ndarray) -> dict[str, torch.Tensor]:
    """Outputs of one segment that runs as a stretch of several pieces."""
    outputs = []
    for first in range(0, len(tokens), PIECE):
        piece = tokens[first : first + PIECE]
        ends, place = np.array([0, len(piece)]), (0, first, len(tokens) - first - len(piece))
        outputs.append(engine.run(Pack(piece, ends, 0, *map(np.atleast_1d, place))))
    return {layer: torch.cat([each[layer] for each in outputs]) for layer in outputs[0]}


def _distance(stock: torch.Tensor, found: torch.Tensor) -> float:
    stock, found = stock.double(), found.to(stock.device).double()
    return float((stock - found).square().mean().sqrt() / stock.square().mean().sqrt())
