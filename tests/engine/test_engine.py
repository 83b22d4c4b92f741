"""The engines and pooling, against separate calls of `Evo2.forward` pooled in numpy."""

import numpy as np
import pytest
import torch
from evo2_embed.embed.rows import count_rows, locate_rows
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
POOLINGS = ["mean", "max", "last", {"bin": 1}, {"bin": 7}, {"bin": 1000}]


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


def pool_in_numpy(values, pooling):
    if pooling == "mean":
        return values.mean(0, keepdims=True)
    if pooling == "max":
        return values.max(0, keepdims=True)
    if pooling == "last":
        return values[-1:]
    size = pooling["bin"]
    return np.stack([values[i : i + size].mean(0) for i in range(0, len(values), size)])


def rows_of(outputs, pack, bos, pooling):
    """Rows of a pack's segments by layer, in the type of the outputs, without the BOS."""
    rows = {}
    for layer, values in outputs.items():
        segments = np.split(values.numpy(), pack.cu_seqlens[1:-1])
        rows[layer] = np.concatenate([pool_in_numpy(each[bos:], pooling) for each in segments])
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


@pytest.mark.parametrize("pad", [0, 1])
def test_a_padded_pack_gives_what_a_packed_one_gives(make_engine, reference, pad):
    engine = make_engine(LAYERS)
    packed, padded = engine.run(reference.pack), engine.run(pad_pack(reference.pack, pad))
    assert_same(padded, packed, reference.bounds)


def test_bins_weighted_by_length_average_to_the_mean(make_engine, reference):
    pack = make_pack(random_segments([300, 77]))
    outputs = make_engine(["norm"]).run(pack)
    bins, mean = (pool_pack(outputs, pack, 0, how)["norm"] for how in ({"bin": 64}, "mean"))
    assert count_rows(pack.lengths, {"bin": 64}).tolist() == [5, 2]
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
