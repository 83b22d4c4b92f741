"""The engines and pooling, against separate calls of `Evo2.forward` pooled in numpy."""

import numpy as np
import pytest
import torch
from evo2_embed.embed.rows import count_rows, locate_rows
from evo2_embed.engine.pack import Pack
from evo2_embed.engine.packed import PackedEngine
from evo2_embed.engine.stock import StockEngine
from evo2_embed.model import models
from runs import run_python
from stock import alone, make_pack, pool_pack, random_segments, segments_of

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


def assert_close(found, wanted):
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() <= 1e-5 * np.abs(wanted).mean()


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
    assert widths == models.layer_widths(models.TINY)


@pytest.mark.parametrize("bos", [False, True])
@pytest.mark.parametrize("pooling", POOLINGS, ids=str)
def test_pooled_rows_equal_separate_calls(evo2, make_engine, pooling, bos):
    segments = random_segments([300, 1, 128, 128, 7, 300, 129])
    pack = make_pack(segments, bos)
    found = pool_pack(make_engine(LAYERS).run(pack), pack, int(bos), pooling)
    stock = [alone(evo2, tokens, LAYERS) for tokens in segments_of(pack)]
    for layer in LAYERS:
        wanted = [
            pool_in_numpy(each[layer].double().numpy()[int(bos) :], pooling) for each in stock
        ]
        assert_close(found[layer], np.concatenate(wanted))


@pytest.mark.parametrize("pad", [0, 1])
def test_a_padded_pack_gives_what_a_packed_one_gives(make_engine, pad):
    pack = make_pack(random_segments([50, 200, 3]))
    engine = make_engine(LAYERS)
    packed, padded = engine.run(pack), engine.run(pad_pack(pack, pad))
    for layer in LAYERS:
        assert_close(padded[layer].cpu().numpy(), packed[layer].cpu().numpy())


def test_bins_weighted_by_length_average_to_the_mean(make_engine):
    pack = make_pack(random_segments([300, 77]))
    outputs = make_engine(["norm"]).run(pack)
    bins, mean = (pool_pack(outputs, pack, 0, how)["norm"] for how in ({"bin": 64}, "mean"))
    counts = count_rows(pack.lengths, {"bin": 64})
    assert counts.tolist() == [5, 2]
    weights = np.array([64, 64, 64, 64, 44, 64, 13])[:, None]
    assert_close((bins * weights)[:5].sum(0, keepdims=True) / 300, mean[:1])
    assert_close((bins * weights)[5:].sum(0, keepdims=True) / 77, mean[1:])


def test_bins_are_counted_along_the_strand():
    start, end = np.array([100, 100]), np.array([110, 110])
    rows = locate_rows(start, end, np.array(["+", "-"]), {"bin": 4})
    assert rows["chunk"].tolist() == [0, 0, 0, 1, 1, 1]
    assert rows["start"].tolist() == [100, 104, 108, 106, 102, 100]
    assert rows["end"].tolist() == [104, 108, 110, 110, 106, 102]
    assert rows["n_tokens"].tolist() == [4, 4, 2, 4, 4, 2]


def test_importing_evo2_leaves_no_file_in_the_working_folder(tmp_path):
    run_python("from evo2_embed.model.import_evo2 import import_evo2; import_evo2()", tmp_path)
    assert list(tmp_path.iterdir()) == []
