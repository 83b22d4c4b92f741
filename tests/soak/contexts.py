"""One long stretch, in segments of many lengths, compared with `Evo2.forward`: `make contexts`.

Out: per segment length, for all layer names together, the largest difference relative to the mean
absolute value of the stock output, and the RMS difference relative to its RMS. It fails if the
latter is more than rounding.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [
    str(ROOT / folder) for folder in ("workflow/scripts", "resources/training", "tests")
]

from evo2_embed.engine.packed import PackedEngine  # noqa: E402
from evo2_embed.model import registry  # noqa: E402
from evo2_embed.model.loading import load_model  # noqa: E402
from stock import LAYERS, alone, packs_of, random_segments, save_weights  # noqa: E402

LENGTHS = (16_384, 8192, 4096, 2048, 1024, 4097, 1000, 127)
# With weights `slow`, poles of the implicit filters are slower, and residues larger, by this
# factor.
SLOWER = 300
# Largest relative RMS difference that may come from rounding: 84 times the rounding of one float32
# number. A lost state gives 0.01 or more.
ROUNDING = 1e-5


def main(tokens: int, lengths: list[int], weights: str) -> bool:
    """Print the differences; whether all of them are rounding."""
    evo2 = load_model(registry.TINY, _weights(weights), "fp32")
    segment = random_segments([tokens], seed=7)[0]
    started = time.perf_counter()
    stock = alone(evo2, segment, LAYERS)
    print(f"{weights}, {tokens:,} tokens: Evo2.forward {time.perf_counter() - started:.0f} s")
    print(f"{'length':>8} {'largest':>9} {'rms':>9}  seconds  worst layers")
    exact = True
    for length in lengths:
        largest, rms, seconds = _compare(evo2, segment, length, stock)
        print(
            f"{length:8,} {max(largest.values()):9.1e} {max(rms.values()):9.1e} {seconds:8.0f}  "
            f"{max(largest, key=largest.get)}, {max(rms, key=rms.get)}",
            flush=True,
        )
        exact &= all(value <= ROUNDING for value in rms.values())
    # For comparison, a lost state: windows without context.
    engine = PackedEngine(evo2, ["norm"])
    windows = torch.cat([engine.run(p)["norm"] for p in packs_of(segment, 2048, alone=True)])
    difference = (windows - stock["norm"]).square().mean().sqrt()
    print(f"windows of 2,048 alone, norm: {difference / stock['norm'].square().mean().sqrt():.2f}")
    return exact


def _weights(kind: str) -> Path:
    if kind == "trained":
        return registry.bundled_checkpoint()
    path = Path(tempfile.mkdtemp()) / "weights.pt"
    save_weights(registry.model_config(registry.TINY), path)
    if kind == "slow":
        state = torch.load(path)
        for name, values in state.items():
            if name.endswith("log_poles"):
                values /= SLOWER
        torch.save(state, path)
    return path


def _compare(evo2, segment: np.ndarray, length: int, stock: dict) -> tuple[dict, dict, float]:
    engine = PackedEngine(evo2, LAYERS)
    largest, squares = dict.fromkeys(LAYERS, 0.0), dict.fromkeys(LAYERS, 0.0)
    first, seconds = 0, 0.0
    for pack in packs_of(segment, length):
        started = time.perf_counter()
        found = engine.run(pack)
        seconds += time.perf_counter() - started
        stop = first + len(pack.tokens)
        for layer in LAYERS:
            difference = (found[layer] - stock[layer][first:stop]).double()
            # Not `max`, which can pass over NaN.
            largest[layer] = float(np.maximum(largest[layer], difference.abs().max()))
            squares[layer] += float(difference.square().sum())
        first = stop
    for layer, wanted in stock.items():
        largest[layer] /= float(wanted.abs().mean())
        squares[layer] = (squares[layer] / float(wanted.double().square().sum())) ** 0.5
    return largest, squares, seconds


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=65_536)
    parser.add_argument("--lengths", type=int, nargs="+", default=list(LENGTHS))
    parser.add_argument("--weights", choices=["steady", "slow", "trained"], default="steady")
    chosen = parser.parse_args()
    if not main(chosen.tokens, chosen.lengths, chosen.weights):
        sys.exit(f"error: differences above {ROUNDING}")
