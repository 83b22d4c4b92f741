"""The engines and pooling, against separate calls of `Evo2.forward` pooled in numpy."""

import numpy as np
import pytest
import torch
from evo2_embed.embed.rows import locate_rows
from evo2_embed.engine.pack import Pack
from evo2_embed.engine.packed import PackedEngine
from evo2_embed.engine.stock import StockEngine
from evo2_embed.io.parts import Parts
from evo2_embed.model import registry
from runs import run_python
from stock import (
    assert_same,
    bounds_of,
    each_alone,
    in_float64,
    make_pack,
    pool_pack,
    random_segments,
)

LAYERS = ["blocks.3", "blocks.6.mlp.l3", "blocks.2.projections", "norm"]
POOLINGS = ["mean", "max", "first", "last", {"center": 50}, {"center": 1}]
POOLINGS += [{"bin": 1}, {"bin": 7}, {"bin": 1000}]


@pytest.fixture(params=[PackedEngine, StockEngine])
def make_engine(request, evo2):
    """A function that gives the engine for some layers."""
    return lambda layers: request.param(evo2, layers)


def pad_pack(pack, pad):
    width = int(pack.lengths.max())
    mask = np.arange(width) < pack.lengths[:, None]
    tokens = np.full(mask.shape, pad, np.uint8)
    tokens[mask] = pack.tokens
    return Pack(tokens.reshape(-1), pack.cu_seqlens, width)


def pool_in_numpy(values, pooling, skip=0):
    if pooling == "mean":
        return values[skip:].mean(0, keepdims=True)
    if pooling == "max":
        return values[skip:].max(0, keepdims=True)
    if pooling == "first":
        return values[skip : skip + 1]
    if pooling == "last":
        return values[-1:]
    if "center" in pooling:
        size = min(pooling["center"], len(values))
        first = (len(values) - size) // 2
        return values[max(skip, first) : first + size].mean(0, keepdims=True)
    size = pooling["bin"]
    bins = [(max(i, skip), i + size) for i in range(0, len(values), size)]
    return np.stack([values[i:j].mean(0) for i, j in bins if len(values[i:j])])


def rows_of(outputs, pack, bos, pooling, skip=0):
    """Rows of a pack's segments by layer, in the type of the outputs, without the BOS."""
    rows = {}
    for layer, values in outputs.items():
        segments = np.split(values.numpy(), pack.cu_seqlens[1:-1])
        pooled = [pool_in_numpy(each[bos:], pooling, skip) for each in segments]
        rows[layer] = np.concatenate(pooled)
    return rows


@pytest.fixture(scope="module", params=[0, 1], ids=["no BOS", "BOS"])
def windows(request, evo2):
    """Whether there is a BOS, a pack, and its outputs from the stock model in both precisions."""
    pack = make_pack(random_segments([300, 1, 128, 128, 7, 300, 129]), request.param)
    outputs = [each_alone(model, pack, LAYERS) for model in (evo2, in_float64(evo2))]
    return request.param, pack, *outputs


def test_every_layer_listed_is_one_vector_a_token_and_no_other_module_is(evo2):
    outputs = {}

    def note(name):
        def hook(_, __, output):
            outputs[name] = output[0] if isinstance(output, tuple) else output

        return hook

    handles = [m.register_forward_hook(note(n)) for n, m in evo2.model.named_modules()]
    with torch.no_grad():
        evo2.model(torch.randint(65, 85, (2, 37)))
    for handle in handles:
        handle.remove()
    widths = {
        name: output.shape[-1]
        for name, output in outputs.items()
        if torch.is_tensor(output) and output.dim() == 3 and output.shape[:2] == (2, 37)
    }
    del widths[""], widths["unembed"]  # the logits
    assert widths == registry.layer_widths(registry.TINY)


def test_pooled_rows_equal_separate_calls(make_engine, windows):
    bos, pack, stock, exact = windows
    outputs = make_engine(LAYERS).run(pack)
    for pooling in POOLINGS:
        wanted, precise = (rows_of(each, pack, bos, pooling) for each in (stock, exact))
        assert_same(pool_pack(outputs, pack, bos, pooling), wanted, bounds_of(wanted, precise))


def test_the_first_bases_of_a_sequence_are_not_pooled(make_engine, windows):
    bos, pack, stock, exact = windows
    outputs = make_engine(LAYERS).run(pack)
    segments = np.split(pack.tokens, pack.cu_seqlens[1:-1])
    for pooling in POOLINGS:
        # Those of which something is left: base 140 is in the middle 50 of 300 bases.
        skip, mine = (140, [0, 5]) if "center" in pooling else (40, [0, 2, 3, 5, 6])
        kept = make_pack([segments[i][bos:] for i in mine], bos)
        parts = [np.arange(pack.cu_seqlens[i], pack.cu_seqlens[i + 1]) for i in mine]
        index = np.concatenate(parts)
        found, *others = ({x: v[index] for x, v in y.items()} for y in (outputs, stock, exact))
        wanted, precise = (rows_of(each, kept, bos, pooling, skip) for each in others)
        assert_same(pool_pack(found, kept, bos, pooling, skip), wanted, bounds_of(wanted, precise))


@pytest.mark.parametrize("pad", [0, 1])
def test_a_padded_pack_gives_what_a_packed_one_gives(make_engine, reference, pad):
    engine = make_engine(LAYERS)
    packed, padded = engine.run(reference.pack), engine.run(pad_pack(reference.pack, pad))
    assert_same(padded, packed, reference.bounds)


def test_bins_weighted_by_length_average_to_the_mean(make_engine, reference):
    pack = make_pack(random_segments([300, 77]))
    outputs = make_engine(["norm"]).run(pack)
    bins, mean = (pool_pack(outputs, pack, 0, how)["norm"] for how in ({"bin": 64}, "mean"))
    weights = np.array([64, 64, 64, 64, 44, 64, 13])[:, None]
    sums = np.add.reduceat(bins * weights, [0, 5]) / pack.lengths[:, None]
    assert_same({"norm": sums}, {"norm": mean}, reference.bounds)


def test_bins_are_counted_along_the_strand():
    start, end, strand = np.array([100, 100]), np.array([110, 110]), np.array(["+", "-"])
    chunks = {"start": start, "end": end, "strand": strand, "parts": Parts.none(2)}
    rows = locate_rows(chunks, {"bin": 4})
    assert rows["chunk"].tolist() == [0, 0, 0, 1, 1, 1]
    assert rows["start"].tolist() == [100, 104, 108, 106, 102, 100]
    assert rows["end"].tolist() == [104, 108, 110, 110, 106, 102]
    assert rows["n_tokens"].tolist() == [4, 4, 2, 4, 4, 2]


def test_importing_evo2_leaves_no_file_in_the_working_folder_and_no_compiler(tmp_path):
    code = """
import sys, einops, torch
from evo2_embed.model.import_evo2 import import_evo2
import_evo2()
einops.rearrange(torch.zeros(2, 3), "a b -> b a")
print("torch._dynamo" in sys.modules)
"""
    assert run_python(code, tmp_path) == "False"
    assert list(tmp_path.iterdir()) == []
