"""Packs for tests of the engines, and the stock model's answer to them."""

import itertools

import numpy as np
import torch
from evo2_embed.embed.pooling import Pooler
from evo2_embed.embed.row_spans import RowLocator
from evo2_embed.embed.rows import ShardRows
from evo2_embed.engine.pack import Pack
from evo2_embed.model import models
from random_weights import make_state

LAYERS = list(models.layer_widths(models.TINY))
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
    config = dict(models.model_config(name))
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


def packs_of(segment, piece, alone=False):
    """A segment as the packs of a stretch that runs `piece` tokens at a time.

    `piece` may be a list of sizes, taken in turn; with `alone` no piece knows of those before it.
    """
    sizes = itertools.cycle([piece] if isinstance(piece, int) else piece)
    first, packs = 0, []
    while first < len(segment):
        tokens = segment[first : first + next(sizes)]
        place = (0, 0) if alone else (first, len(segment) - first - len(tokens))
        packs.append(Pack(tokens, np.array([0, len(tokens)]), 0, *map(np.atleast_1d, (0, *place))))
        first += len(tokens)
    return packs


def pool_pack(outputs, pack, bos, pooling):
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
    }
    locator = RowLocator(ShardRows(keys | text, pooling), pooling, bos)
    spans = locator.spans(pack.stretch, pack.offset, pack.cu_seqlens)
    rows, values = Pooler(pooling).pool(outputs, spans)
    return {layer: vectors[np.argsort(rows)].cpu().numpy() for layer, vectors in values.items()}


def alone(evo2, tokens, layers):
    """Token embeddings (T, width) of one sequence by layer, from the package itself."""
    device = next(evo2.model.parameters()).device
    ids = torch.from_numpy(tokens.astype(np.int64))[None].to(device)
    _, outputs = evo2.forward(ids, return_embeddings=True, layer_names=layers)
    return {layer: outputs[layer][0, : len(tokens)].cpu() for layer in layers}


def segments_of(pack):
    """The tokens of each segment."""
    return np.split(pack.tokens, pack.cu_seqlens[1:-1])


def worst_difference(evo2, engine, pack, layers):
    """Largest difference between an engine and the package on each segment of a pack alone.

    By layer, relative to the mean absolute value over the pack.
    """
    found = engine.run(pack)
    wanted = [alone(evo2, tokens, layers) for tokens in segments_of(pack)]
    result = {}
    for layer in layers:
        stock = torch.cat([outputs[layer] for outputs in wanted]).double()
        difference = (found[layer].cpu().double() - stock).abs().max()
        assert found[layer].shape == stock.shape
        result[layer] = float(difference / stock.abs().mean())
    return result


def assert_same(one, two, tolerance=1e-5):
    """See that two outputs of engines differ by rounding only."""
    assert one.keys() == two.keys()
    for layer, values in one.items():
        difference = (values - two[layer]).abs().max()
        assert difference <= tolerance * values.abs().mean(), layer


def save_weights(config, path):
    """Stable random weights for these StripedHyena settings."""
    torch.save(make_state(config), path)
    return path
