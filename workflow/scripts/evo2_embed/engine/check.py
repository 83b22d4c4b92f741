"""Self-check: the packed engine against the stock one, with the job's weights and device."""

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import torch

from evo2_embed.engine.pack import Pack
from evo2_embed.engine.packed import PackedEngine
from evo2_embed.engine.stock import StockEngine
from evo2_embed.io.errors import InputError
from evo2_embed.settings.extraction import SCORES

# Tokens of the segments that are compared: shorter than the filters, and of several blocks.
LENGTHS = (1, 5, 100, 600)
# Differences are root mean squares, relative to that of the stock output. What is allowed is a
# multiple of the stock model's noise: how far it is from itself if only shapes change, because
# `MORE` tokens follow. On a CPU, over all layers of evo2_tiny, noise and difference were 6e-7 and
# 6e-7 in fp32, 0.016 and 0.020 in bf16. Known faults change its last layer by 0.004 to 0.05: fp32
# shows all of them, bf16 those that are larger than its noise.
FACTOR, MORE = 3, 64
# Least tolerance, and most noise, by precision. fp8 could not be measured.
TOLERANCE = {"fp32": 1e-5, "bf16": 0.01, "fp8": 0.15}
MOST_NOISE = {"fp32": 4e-5, "bf16": 0.1, "fp8": 0.25}
# What a KV cache of another type may add. Measured in the same way: bf16 2e-3, int8 5e-3.
CACHE_TOLERANCE = {"model": 0.0, "bf16": 0.01, "int8": 0.02}
# Tokens per segment in the second run of the longest one, as a stretch of several segments.
SEGMENT = 250
# Tokens of the longest segment before the fork that begins in it: not at the end of a block.
FORK = 130
SEED = 0


def check_engine(
    engine: PackedEngine, evo2, layers: list[str], precision: str, forks: bool = False
) -> dict:
    """Compare the packed engine with `Evo2.forward` on a few short random segments, in one pack,
    and the longest also as a stretch that runs in several packs. `scores` count as a layer.

    With `forks`, also on a fork that begins in the longest segment: another base, and the tokens
    after it.

    Returns
    -------
    dict
        `segments` (their lengths), `noise` of the stock model, `tolerance`, and `difference`: by
        layer, the largest over the segments. With `forks` also `fork`, the tokens before it.

    Raises
    ------
    InputError
        When a difference is larger than allowed, or the stock output has values that are not
        finite, or differs too much from itself.
    """
    bases = np.frombuffer(b"ACGT", np.uint8)
    tokens = np.random.default_rng(SEED).choice(bases, sum(LENGTHS))
    pack = Pack(tokens, np.concatenate([[0], np.cumsum(LENGTHS)]))
    reference = StockEngine(evo2, layers)
    stock, found = reference.run(pack), engine.run(_with_fork(pack) if forks else pack)
    stretch = _run_stretch(engine, tokens[-LENGTHS[-1] :])
    forked = _run_fork(engine, reference, tokens[-LENGTHS[-1] :]) if forks else ()
    for layer in layers:
        if not stock[layer].isfinite().all():
            raise InputError(
                f"layer '{layer}': Evo2.forward itself gives values that are not finite "
                f"({precision}): the checkpoint or the precision does not suit the model"
            )
    noise = _noise(evo2, pack, stock, precision)
    tolerance = max(TOLERANCE[precision], FACTOR * noise) + CACHE_TOLERANCE[engine.kv_cache.type]
    difference = {
        layer: _largest(
            _compared(layer, [*stock[layer].split(LENGTHS), stock[layer][-LENGTHS[-1] :]]),
            _compared(layer, [*found[layer].split(LENGTHS), stretch[layer]]),
        )
        for layer in layers
    }
    if forks:
        for layer in layers:
            of_fork = _largest(*([outputs[layer]] for outputs in forked))
            difference[layer] = float(np.max([difference[layer], of_fork]))
    for layer, value in difference.items():
        if not value <= tolerance:  # NaN is refused, too
            raise InputError(
                f"layer '{layer}': on this machine {type(engine).__name__} differs from "
                f"Evo2.forward by {value:.1e} (root mean square, relative); {precision} allows "
                f"{tolerance:g}. Use 'engine: stock', and please report it"
            )
    return {
        "segments": list(LENGTHS),
        **({"fork": FORK} if forks else {}),
        "noise": noise,
        "tolerance": tolerance,
        "difference": {layer: _rounded(value) for layer, value in difference.items()},
    }


def _noise(evo2, pack: Pack, stock: dict[str, torch.Tensor], precision: str) -> float:
    """The stock model's largest distance from itself over layers and segments of a pack.

    The model is causal, so more tokens after a segment change only the shapes.
    """
    more = np.frombuffer(b"ACGT" * (MORE // 4), np.uint8)
    segments = np.split(pack.tokens, np.cumsum(LENGTHS)[:-1])
    tokens = np.concatenate([part for segment in segments for part in (segment, more)])
    lengths = [length + MORE for length in LENGTHS]
    longer = StockEngine(evo2, list(stock)).run(Pack(tokens, np.append(0, np.cumsum(lengths))))
    noise = {
        layer: _largest(
            _compared(layer, values.split(LENGTHS)),
            _compared(layer, [x[:-MORE] for x in longer[layer].split(lengths)]),
        )
        for layer, values in stock.items()
    }
    layer = list(noise)[np.argmax(list(noise.values()))]  # NaN counts as the largest
    if not noise[layer] <= MOST_NOISE[precision]:
        raise InputError(
            f"layer '{layer}': on this machine Evo2.forward differs from itself by "
            f"{noise[layer]:.1e} (root mean square, relative) if {MORE} tokens follow; no engine "
            f"can be checked against it in {precision}"
        )
    return _rounded(noise[layer])


def _compared(layer: str, segments: Iterable[torch.Tensor]) -> list[torch.Tensor]:
    """What is compared of each segment: all, but of scores not the first, which is always 0."""
    if layer != SCORES:
        return list(segments)
    return [values[1:] for values in segments if len(values) > 1]


def _rounded(value: float) -> float:
    return float(f"{value:.1e}")


def _run_stretch(engine: PackedEngine, tokens: np.ndarray) -> dict[str, torch.Tensor]:
    """Outputs of a stretch that runs in several packs of one segment."""
    outputs = []
    for offset in range(0, len(tokens), SEGMENT):
        segment = tokens[offset : offset + SEGMENT]
        ends, remaining = np.array([0, len(segment)]), len(tokens) - offset - len(segment)
        of_segment = map(np.atleast_1d, (0, offset, remaining))
        outputs.append(engine.run(Pack(segment, ends, 0, *of_segment)))
    return {layer: torch.cat([each[layer] for each in outputs]) for layer in outputs[0]}


def _with_fork(pack: Pack) -> Pack:
    """A pack whose last segment has a fork."""
    return replace(pack, forks=np.array([[len(LENGTHS) - 1, FORK, 1]]))


def _run_fork(
    engine: PackedEngine, stock: StockEngine, parent: np.ndarray
) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """What both engines give for the tokens of the fork in the segment of `_with_fork`."""
    whole = parent.copy()
    whole[FORK] = next(base for base in b"ACGT" if base != parent[FORK])
    own, number = whole[FORK:], len(LENGTHS)
    of_segment = {"stretch": number, "offset": FORK, "remaining": 0, "parent": number - 1}
    columns = {name: np.array([value]) for name, value in of_segment.items()}
    found = engine.run(Pack(own, np.array([0, len(own)]), **columns))
    every = stock.run(Pack(whole, np.array([0, len(whole)])))
    return {layer: values[FORK:] for layer, values in every.items()}, found


def _largest(stock: Iterable[torch.Tensor], found: Iterable[torch.Tensor]) -> float:
    """The largest distance; NaN if there is one, which `max` could pass over."""
    return float(np.max([*map(_distance, stock, found)]))


def _distance(stock: torch.Tensor, found: torch.Tensor) -> float:
    """Root mean square of the difference, relative to that of the stock output."""
    stock, found = stock.double(), found.to(stock.device).double()
    return float((stock - found).square().mean().sqrt() / stock.square().mean().sqrt())
