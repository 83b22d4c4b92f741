"""Packs for tests of the engines, the stock model's outputs for them, and what may differ.

Float32 rounds, and how it rounds depends on the processor, the number of threads and the shapes.
So no bound is a constant: each follows from the stock model's own rounding r, its distance from
itself in float64, measured in the same run on the same weights.

An engine adds the same numbers in another order: blocks and states for Fourier transforms, several
segments for one. Its distance from float64 was 0.8 to 1.8 r with AVX2, SSE and MKL's compatible
kernels, over all layers and settings that are tested here. `FACTOR` allows it 2 r; from there to
the stock model, on the other side of float64, it is one r more. Known faults lie thousands of r
away.
"""

import copy
import itertools

import numpy as np
import torch
from evo2_embed.embed.pooling import Pooler
from evo2_embed.embed.row_spans import RowLocator
from evo2_embed.embed.rows import ShardRows
from evo2_embed.embed.wanted import wanted_segments
from evo2_embed.engine.pack import Pack
from evo2_embed.io.parts import Parts
from evo2_embed.model import registry
from evo2_embed.pack.assign import Forks, cut_segments, edges_of
from evo2_embed.settings.extraction import SCORES
from random_weights import make_state

FACTOR = 3
LAYERS = list(registry.layer_widths(registry.TINY))
# Tokens of the segments on which rounding is measured.
REFERENCE = [300, 1, 64, 129]
YAMLS = {
    "evo2_1b_base": 32,
    "evo2_7b_base": 64,
    "evo2_7b_262k": 64,
    "evo2_7b": 64,
    "evo2_20b": 128,
    "evo2_40b_base": 128,
    "evo2_40b": 128,
}


def shrunken(name, divisor):
    """The settings of a model with its widths divided; kinds and order of blocks are kept."""
    config = dict(registry.model_config(name))
    for key in ("hidden_size", "num_filters", "hcl_filter_groups", "inner_mlp_size"):
        config[key] //= divisor
    for key in ("hcm_filter_groups", "hcs_filter_groups"):
        config[key] //= divisor
    config["num_attention_heads"] = 3 if config["hidden_size"] % 3 == 0 else 4
    return config


def random_segments(lengths, seed=0):
    """Arrays of random bases, one of each length."""
    rng = np.random.default_rng(seed)
    return [rng.choice(np.frombuffer(b"ACGT", np.uint8), length) for length in lengths]


def make_pack(segments, bos=False):
    """Segments end to end, each with a BOS before it if so asked."""
    segments = [np.concatenate([np.zeros(int(bos), np.uint8), segment]) for segment in segments]
    cu_seqlens = np.concatenate([[0], np.cumsum([len(segment) for segment in segments])])
    return Pack(np.concatenate(segments), cu_seqlens)


def packs_of(stretch, lengths, alone=False):
    """A stretch as packs of one segment each, of this length.

    `lengths` may be a list, taken in turn; with `alone` each segment is a stretch of its own.
    """
    lengths = itertools.cycle([lengths] if isinstance(lengths, int) else lengths)
    offset, packs = 0, []
    while offset < len(stretch):
        tokens = stretch[offset : offset + next(lengths)]
        context = (0, 0) if alone else (offset, len(stretch) - offset - len(tokens))
        ends = np.array([0, len(tokens)])
        packs.append(Pack(tokens, ends, 0, *map(np.atleast_1d, (0, *context))))
        offset += len(tokens)
    return packs


def run_packs(engine, packs):
    """Outputs of several packs, end to end."""
    outputs = [engine.run(pack) for pack in packs]
    return {layer: torch.cat([each[layer] for each in outputs]) for layer in engine.layers}


def stretch_packs(stretches, longest, budget, forks=None):
    """The packs of stretches that run side by side.

    `stretches` are arrays of tokens, of a fork those after its fork point, and `forks` a list of
    (parent, tokens of the parent before the fork), or None, one per stretch.
    """
    offset = np.array([fork[1] if fork else 0 for fork in forks or [None] * len(stretches)])
    parent = np.array([fork[0] if fork else -1 for fork in forks or [None] * len(stretches)])
    lengths = np.array([len(tokens) for tokens in stretches])
    cut = cut_segments(lengths, longest, budget, Forks(parent, offset))
    names, packs = ("stretch", "offset", "length", "remaining", "parent"), []
    for first, stop in zip(cut.edges[:-1], cut.edges[1:], strict=True):
        mine = {name: getattr(cut, name)[first:stop] for name in names}
        packs.append({**mine, "cu_seqlens": edges_of(mine["length"])})
    for number, wanted in wanted_segments(dict(enumerate(packs)), set()).items():
        pack = packs[number]
        before = pack["offset"] - offset[pack["stretch"]]
        columns = pack["stretch"], before, pack["length"]
        tokens = [stretches[s][o : o + n] for s, o, n in zip(*columns, strict=True)]
        yield Pack(
            np.concatenate(tokens),
            pack["cu_seqlens"],
            stretch=pack["stretch"],
            offset=pack["offset"],
            remaining=pack["remaining"],
            parent=pack["parent"],
            forks=wanted.forks,
        )


def run_stretches(engine, stretches, longest, budget, forks=None):
    """Outputs of several stretches that run side by side, stretch after stretch."""
    found = [[] for _ in stretches]
    for pack in stretch_packs(stretches, longest, budget, forks):
        outputs = engine.run(pack)
        segments = {x: values.split(pack.lengths.tolist()) for x, values in outputs.items()}
        for row, number in enumerate(pack.stretch):
            found[number].append({layer: values[row] for layer, values in segments.items()})
    assert not engine.states.open
    assert not engine.states.at_forks
    whole = [segment for segments in found for segment in segments]
    return {layer: torch.cat([segment[layer] for segment in whole]) for layer in engine.layers}


def pool_pack(outputs, pack, bos, pooling, skip_first=0):
    """Vectors of a pack's segments, a window each, by layer: segment after segment."""
    end = pack.cu_seqlens[1:] - bos * np.arange(1, len(pack.lengths) + 1)
    text = {key: np.full(len(end), "x", object) for key in ("genome", "contig", "name")}
    keys = {
        "chunk": np.arange(len(end)),
        "start": end - pack.lengths + bos,
        "end": end,
        "strand": np.full(len(end), "+", object),
        "stretch": pack.stretch,
        "context": pack.lengths - bos,
        "parts": Parts.none(len(end)),
    }
    locator = RowLocator(ShardRows(keys | text, pooling, skip_first), pooling, bos)
    spans = locator.spans(pack.stretch, pack.offset, pack.cu_seqlens)
    rows, values = Pooler(pooling).pool(outputs, spans)
    return {layer: vectors[np.argsort(rows)].cpu().numpy() for layer, vectors in values.items()}


def alone(evo2, tokens, layers):
    """Token embeddings (T, width) of one sequence by layer, from the package itself.

    `scores` are the logarithms of the tokens' probabilities, from its logits; the first is 0.
    """
    device = next(evo2.model.parameters()).device
    ids = torch.from_numpy(tokens.astype(np.int64))[None].to(device)
    names = [layer for layer in layers if layer != SCORES]
    (logits, _), outputs = evo2.forward(ids, return_embeddings=True, layer_names=names)
    if SCORES in layers:
        log_p = logits[0] - logits[0].logsumexp(1, keepdim=True)
        scores = [0.0] + [float(log_p[i, token]) for i, token in enumerate(tokens[1:].tolist())]
        outputs[SCORES] = torch.tensor(scores, dtype=torch.float64)[None, :, None]
    return {layer: outputs[layer][0, : len(tokens)].cpu() for layer in layers}


def score_alone(evo2, bases, method, **options):
    """The score of one sequence (a string), from the package: `Evo2.score_sequences`, which names
    a GPU."""
    from evo2 import scoring

    function = scoring.score_sequences_rc if options.pop("both", False) else scoring.score_sequences
    device = next(evo2.model.parameters()).device
    found = function(
        [bases] if isinstance(bases, str) else bases,
        model=evo2.model,
        tokenizer=evo2.tokenizer,
        batch_size=1 if isinstance(bases, str) else len(bases),
        reduce_method=method,
        device=device,
        **options,
    )
    return float(found[0]) if isinstance(bases, str) else [float(value) for value in found]


def each_alone(evo2, pack, layers):
    """Token embeddings (T, width) of a pack by layer, from one call of the package per segment."""
    tokens = np.split(pack.tokens, pack.cu_seqlens[1:-1])
    outputs = [alone(evo2, segment, layers) for segment in tokens]
    return {layer: torch.cat([each[layer] for each in outputs]) for layer in layers}


def in_float64(evo2):
    """The same model in float64, but for its convolutions, for which vortex asks for float32."""
    exact = copy.copy(evo2)
    exact.model = copy.deepcopy(evo2.model).double()
    return exact


def distance(found, wanted):
    """How far rows (n, width) are from others, (2,).

    The largest root mean square of a row's differences shows a fault of all channels, the largest
    single difference one of a few.
    """
    # Arrays are copied: torch warns of those that are read-only, as from a file.
    found, wanted = (
        (rows if torch.is_tensor(rows) else torch.tensor(rows)).cpu().double()
        for rows in (found, wanted)
    )
    assert found.shape == wanted.shape
    difference = found - wanted
    return torch.stack([difference.square().mean(1).sqrt().max(), difference.abs().max()])


def bounds_of(stock, exact):
    """By layer, how far an engine may be from the stock model, given its outputs in float32 and in
    float64; see the top of this file."""
    return {layer: FACTOR * distance(stock[layer], exact[layer]) for layer in stock}


def excess(found, wanted, bounds):
    """By layer, the distance of rows from the wanted ones, in units of its bound."""
    assert found.keys() == wanted.keys()
    far = {layer: (distance(found[layer], wanted[layer]), bounds[layer]) for layer in found}
    return {
        layer: float(torch.where(d == 0, d, d / bound).max()) for layer, (d, bound) in far.items()
    }


def assert_same(found, wanted, bounds):
    """See that rows differ by rounding only."""
    beyond = {x: value for x, value in excess(found, wanted, bounds).items() if not value <= 1}
    assert beyond == {}


class Reference:
    """A pack, the stock model's outputs for it, and the bounds that follow for all other packs."""

    def __init__(self, evo2, layers):
        self.pack = make_pack(random_segments(REFERENCE))
        self.outputs = each_alone(evo2, self.pack, layers)
        self.bounds = bounds_of(self.outputs, each_alone(in_float64(evo2), self.pack, layers))


def save_weights(config, path):
    """Stable random weights for these StripedHyena settings."""
    torch.save(make_state(config), path)
    return path
