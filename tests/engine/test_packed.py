"""The packed engine against `Evo2.forward` on each segment alone."""

from collections import Counter
from itertools import accumulate

import numpy as np
import pytest
import torch
from evo2_embed.engine.packed import PackedEngine
from evo2_embed.engine.segment_lengths import SegmentLengths
from evo2_embed.io.errors import InputError
from evo2_embed.model import models
from evo2_embed.model.loading import build_model, load_model
from hypothesis import given, settings
from hypothesis import strategies as st
from stock import (
    LAYERS,
    YAMLS,
    alone,
    assert_same,
    make_pack,
    packs_of,
    random_segments,
    save_weights,
    segments_of,
    shrunken,
    worst_difference,
)
from torch.utils._python_dispatch import TorchDispatchMode

# Shorter than, as long as and longer than each filter, and than a block of tokens.
EDGES = [1, 2, 3, 6, 7, 63, 64, 65, 127, 128, 129, 200]


def assert_equal_to_stock(evo2, engine, pack, layers=LAYERS, tolerance=1e-5):
    worst = worst_difference(evo2, engine, pack, layers)
    assert {layer: value for layer, value in worst.items() if not value <= tolerance} == {}


def test_segments_of_every_critical_length(evo2, engine):
    assert_equal_to_stock(evo2, engine, make_pack(random_segments(EDGES)))


def test_the_trained_model_differs_from_stock_as_float32_does_from_float64():
    torch.set_num_threads(1)
    evo2, exact = (load_model(models.TINY, models.bundled_checkpoint(), "fp32") for _ in range(2))
    exact.model.double()
    pack = make_pack(random_segments([700, 300, 64, 7, 2]))
    found = PackedEngine(evo2, LAYERS).run(pack)
    outputs = [
        [alone(model, tokens, LAYERS) for tokens in segments_of(pack)] for model in (evo2, exact)
    ]
    for layer in LAYERS:
        stock, wanted = (torch.cat([each[layer] for each in model]) for model in outputs)
        difference = (found[layer].double() - stock.double()).square().mean().sqrt()
        rounding = (stock.double() - wanted).square().mean().sqrt()
        assert difference <= 1e-6 * wanted.square().mean().sqrt(), layer
        assert difference <= max(2 * rounding, 1e-7 * wanted.abs().mean()), layer


@pytest.mark.parametrize("length", EDGES)
def test_a_segment_on_its_own(evo2, engine, length):
    assert_equal_to_stock(evo2, engine, make_pack(random_segments([length], length)))


@given(
    lengths=st.lists(st.integers(1, 3000) | st.integers(1, 200), min_size=1, max_size=64),
    bos=st.booleans(),
    seed=st.integers(0, 1000),
)
@settings(max_examples=8, deadline=None, derandomize=True)
def test_random_packs(evo2, engine, lengths, bos, seed):
    # All layers of many tokens would not fit the memory of a small machine.
    most = next((n for n, total in enumerate(accumulate(lengths), 1) if total > 8000), None)
    assert_equal_to_stock(evo2, engine, make_pack(random_segments(lengths[:most], seed), bos))


def test_a_long_pack_of_many_segments(evo2):
    layers = ["blocks.6.filter", "blocks.7", "norm"]
    lengths = np.random.default_rng(3).integers(1, 3001, 24)
    pack = make_pack(random_segments(lengths))
    assert_equal_to_stock(evo2, PackedEngine(evo2, layers), pack, layers)


def test_a_segment_does_not_depend_on_its_neighbours(engine):
    segment, *others = random_segments([700, 64, 1, 1300, 2])
    *changed, _ = random_segments([64, 1, 1300, 2, 1], seed=1)
    first = engine.run(make_pack([others[0], segment, *others[1:]]))
    second = engine.run(make_pack([changed[0], segment, *changed[1:]]))
    assert not np.array_equal(others[2], changed[2])
    assert_same(*({k: v[64:764] for k, v in outputs.items()} for outputs in (first, second)))


def test_a_segment_that_gives_no_number_spoils_no_other(evo2):
    pack = make_pack(random_segments([130, 70, 300]))
    # A token that the bases do not use, whose embedding is no number.
    pack.tokens[130:200] = 2
    embedding = evo2.model.embedding_layer.weight.data
    before = embedding[2].clone()
    embedding[2] = torch.nan
    try:
        outputs = PackedEngine(evo2, LAYERS).run(pack)
    finally:
        embedding[2] = before
    for layer in LAYERS:
        assert outputs[layer][130:200].isnan().all()
        assert not outputs[layer][:130].isnan().any(), layer
        assert not outputs[layer][200:].isnan().any(), layer


def test_split_or_merged_packs_give_the_same_rows(engine):
    pack = make_pack(random_segments([500, 129, 1, 64, 900]))
    whole = engine.run(pack)
    parts = [engine.run(make_pack([tokens])) for tokens in segments_of(pack)]
    assert_same(whole, {layer: torch.cat([part[layer] for part in parts]) for layer in LAYERS})


@pytest.mark.parametrize("tile", [5, 64, 333])
def test_segments_may_lie_across_tiles(evo2, engine, tile):
    pack = make_pack(random_segments([1, 400, 3, 64, 64, 90]))
    small = PackedEngine(evo2, LAYERS)
    for block in small.blocks:
        block.tile = tile
        block.channel_elements = 1
    whole, tiled = engine.run(pack), small.run(pack)
    assert_same(whole, tiled)


@pytest.fixture
def build(tmp_path):
    """A function that gives a model of these settings, with random weights."""
    return lambda config: build_model(
        config, save_weights(config, tmp_path / "weights.pt"), "fp32", "it"
    )


@pytest.mark.parametrize("name", YAMLS)
def test_the_settings_of_every_model(build, name):
    config = shrunken(name, YAMLS[name])
    evo2, layers = build(config), list(models.widths_of(config))
    assert len(evo2.model.blocks) == models.model_config(name)["num_layers"]
    pack, engine = make_pack(random_segments([300, 1, 64, 129])), PackedEngine(evo2, layers)
    assert_equal_to_stock(evo2, engine, pack, layers)
    tokens = segments_of(pack)[0]
    pieces = [engine.run(piece) for piece in packs_of(tokens, [140, 25])]
    found = {layer: torch.cat([each[layer] for each in pieces]) for layer in layers}
    assert_same(found, alone(evo2, tokens, layers))


def test_every_yaml_of_the_package_is_tested():
    configs = {models._evo2_tables().CONFIG_MAP[name] for name in YAMLS}
    assert configs == {
        f"configs/{path.name}" for path in (models.package_folder() / "configs").glob("*.yml")
    }


@pytest.mark.parametrize(
    "changes",
    [
        {"column_split_hyena": True},
        {"column_split_hyena": True, "interleave": False},
        {"interleave": False},
        {"hyena_flip_x1x2": True},
        {"short_filter_bias": True, "qkv_proj_bias": True},
        {"mlp_activation": "silu"},
        {"evo2_style_activations": False},
        {"use_interpolated_rotary_pos_emb": False},
        {"hcm_filter_length": 40},
        {"hcm_filter_length": 300, "short_filter_length": 4},
        {"mha_out_proj_bias": False, "hyena_out_proj_bias": False},
    ],
    ids=lambda changes: ",".join(f"{key}={value}" for key, value in changes.items()),
)
def test_other_settings_of_the_architecture(build, changes):
    config = models.model_config(models.TINY) | changes
    evo2, layers = build(config), list(models.widths_of(config))
    if not config["evo2_style_activations"]:
        layers = [layer for layer in layers if not layer.endswith("mlp.act")]
    for parameter in ("short_filter_bias", "bias"):
        for name, value in evo2.model.named_parameters():
            if name.endswith(parameter):
                value.data.normal_(generator=torch.Generator().manual_seed(0))
    pack = make_pack(random_segments([300, 1, 64, 129]))
    assert_equal_to_stock(evo2, PackedEngine(evo2, layers), pack, layers, tolerance=2e-5)


@pytest.mark.parametrize("layer", LAYERS)
def test_nothing_after_the_deepest_layer_runs(evo2, layer, monkeypatch):
    ran = Counter()
    names = {id(module): name for name, module in evo2.model.named_modules()}
    call = torch.nn.Module.__call__

    def count(module, *arguments, **keywords):
        ran[names[id(module)]] += 1
        return call(module, *arguments, **keywords)

    monkeypatch.setattr(torch.nn.Module, "__call__", count)
    PackedEngine(evo2, [layer]).run(make_pack(random_segments([10])))
    order = [name for name in LAYERS if name not in ("embedding_layer", "norm")]
    if layer in order:
        block = int(layer.split(".")[1])
        assert not [
            name for name in ran if name.startswith("blocks.") and int(name.split(".")[1]) > block
        ]
    later = {"pre_norm": ("post_norm", "mlp.l1"), "filter": ("out_filter_dense", "post_norm")}
    part = layer.partition(".")[2].partition(".")[2]
    for name in later.get(part, ()):
        assert not ran[layer.replace(part, name)]
    assert not ran["unembed"]
    assert ran["norm"] == (layer == "norm")


@pytest.mark.parametrize(
    "layer", ["blocks.8", "blocks.0.mlp.act", "blocks.3.inner_mha_cls.rotary_emb", "unembed", "x"]
)
def test_a_layer_that_it_cannot_give_is_refused_by_name(evo2, layer):
    with pytest.raises(InputError, match=f"layer '{layer}'"):
        PackedEngine(evo2, ["norm", layer])


class CountCalls(TorchDispatchMode):
    """Counts what PyTorch is asked to do."""

    calls = 0

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        self.calls += 1
        return function(*arguments, **(keywords or {}))


def test_the_number_of_operations_does_not_grow_with_that_of_segments(evo2):
    engine = PackedEngine(evo2, ["norm"])
    calls = []
    for count in (4, 40, 400):
        lengths = [2000 // count] * count
        engine.run(make_pack(random_segments(lengths)))
        with CountCalls() as counter:
            engine.run(make_pack(random_segments(lengths)))
        calls.append(counter.calls)
    assert max(calls) <= 1.1 * calls[0]


def test_batches_of_the_attention_hold_every_segment_once():
    lengths = np.random.default_rng(0).integers(1, 9000, 500)
    segments = SegmentLengths(lengths)
    batches = segments.batches(np.arange(500))
    assert sorted(np.concatenate(batches).tolist()) == list(range(500))
    assert len(batches) < 110
    filled_up = sum(len(batch) * lengths[batch].max() for batch in batches)
    assert filled_up <= 1.06 * lengths.sum() + 32 * 500
