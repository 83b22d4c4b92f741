"""The packed engine against `Evo2.forward` on each segment alone."""

from collections import Counter
from itertools import accumulate

import numpy as np
import pytest
import torch
from evo2_embed.engine.packed import PackedEngine
from evo2_embed.engine.segment_lengths import SegmentLengths
from evo2_embed.io.errors import InputError
from evo2_embed.model import registry
from evo2_embed.model.loading import build_model, load_model
from evo2_embed.settings.extraction import SCORES
from hypothesis import given, settings
from hypothesis import strategies as st
from stock import (
    LAYERS,
    REFERENCE,
    YAMLS,
    Reference,
    assert_same,
    bounds_of,
    each_alone,
    in_float64,
    make_pack,
    packs_of,
    random_segments,
    run_packs,
    save_weights,
    score_alone,
    shrunken,
)
from torch.utils._python_dispatch import TorchDispatchMode

# Shorter than, as long as and longer than each filter, and than a block of tokens.
EDGES = [1, 2, 3, 6, 7, 63, 64, 65, 127, 128, 129, 200]


@pytest.fixture(scope="module")
def critical(evo2):
    """Segments of every critical length, and the stock model's outputs, segment after segment."""
    segments = random_segments(EDGES)
    return segments, each_alone(evo2, make_pack(segments), LAYERS)


def test_segments_of_every_critical_length(engine, critical, reference):
    segments, wanted = critical
    assert_same(engine.run(make_pack(segments)), wanted, reference.bounds)


def test_segments_on_their_own(engine, critical, reference):
    segments, wanted = critical
    packs = [make_pack([segment]) for segment in segments]
    assert_same(run_packs(engine, packs), wanted, reference.bounds)


def test_the_trained_model_differs_from_stock_as_float32_does_from_float64():
    torch.set_num_threads(1)
    evo2 = load_model(registry.TINY, registry.bundled_checkpoint(), "fp32")
    pack = make_pack(random_segments([400, 200, 64, 7, 2]))
    found = PackedEngine(evo2, LAYERS).run(pack)
    stock, exact = (each_alone(model, pack, LAYERS) for model in (evo2, in_float64(evo2)))
    assert_same(found, stock, bounds_of(stock, exact))
    for layer in LAYERS:
        difference = (found[layer].cpu().double() - stock[layer].double()).square().mean()
        rounding = (stock[layer].double() - exact[layer]).square().mean()
        # An average over all tokens: with no worst one to allow for, two equal roundings.
        assert difference.sqrt() <= 2 * rounding.sqrt(), layer


@given(
    lengths=st.lists(st.integers(1, 1000) | st.integers(1, 200), min_size=1, max_size=64),
    bos=st.booleans(),
    seed=st.integers(0, 1000),
)
@settings(max_examples=8, deadline=None, derandomize=True)
def test_random_packs(evo2, engine, reference, lengths, bos, seed):
    # More tokens are in the next test: of all layers they would need too much time and memory.
    most = next((n for n, total in enumerate(accumulate(lengths), 1) if total > 1500), None)
    pack = make_pack(random_segments(lengths[:most], seed), bos)
    assert_same(engine.run(pack), each_alone(evo2, pack, LAYERS), reference.bounds)


def test_a_long_pack_of_many_segments(evo2, reference):
    layers = ["blocks.6.filter", "blocks.7", "norm"]
    lengths = np.random.default_rng(3).integers(1, 2001, 12)
    pack = make_pack(random_segments(lengths))
    found = PackedEngine(evo2, layers).run(pack)
    assert_same(found, each_alone(evo2, pack, layers), reference.bounds)


def test_a_segment_does_not_depend_on_its_neighbours(engine, reference):
    segment, *others = random_segments([300, 64, 1, 700, 2])
    *changed, _ = random_segments([64, 1, 700, 2, 1], seed=1)
    first = engine.run(make_pack([others[0], segment, *others[1:]]))
    second = engine.run(make_pack([changed[0], segment, *changed[1:]]))
    assert not np.array_equal(others[2], changed[2])
    assert_same(
        *({k: v[64:364] for k, v in outputs.items()} for outputs in (first, second)),
        reference.bounds,
    )


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


@pytest.mark.parametrize("tile", [5, 64, 333])
def test_segments_may_lie_across_tiles(evo2, reference, tile):
    small = PackedEngine(evo2, LAYERS)
    for block in small.blocks:
        block.tile = tile
        if hasattr(block, "mixer"):
            block.mixer.channel_elements = 1
    assert_same(small.run(reference.pack), reference.outputs, reference.bounds)


@pytest.fixture
def build(tmp_path):
    """A function that gives a model of these settings, with random weights."""
    return lambda config: build_model(
        config, save_weights(config, tmp_path / "weights.pt"), "fp32", "it"
    )


@pytest.mark.parametrize("name", YAMLS)
def test_the_settings_of_every_model(build, name):
    config = shrunken(name, YAMLS[name])
    evo2, layers = build(config), [*registry.widths_of(config), SCORES]
    assert len(evo2.model.blocks) == registry.model_config(name)["num_layers"]
    reference, engine = Reference(evo2, layers), PackedEngine(evo2, layers)
    assert_same(engine.run(reference.pack), reference.outputs, reference.bounds)
    length = REFERENCE[0]
    found = run_packs(engine, packs_of(reference.pack.tokens[:length], [140, 25]))
    wanted = {layer: values[:length] for layer, values in reference.outputs.items()}
    assert_same(found, wanted, reference.bounds)
    bases = reference.pack.tokens[:length].tobytes().decode()
    score = found[SCORES].double().sum()
    # The package adds float32 values.
    bound = length * (float(reference.bounds[SCORES][0]) + 2**-22)
    assert abs(score - score_alone(evo2, bases, "sum")) <= bound
    assert abs(score / (length - 1) - score_alone(evo2, bases, "mean")) <= bound / length


def test_every_yaml_of_the_package_is_tested():
    configs = {registry._evo2_tables().CONFIG_MAP[name] for name in YAMLS}
    assert configs == {
        f"configs/{path.name}" for path in (registry.package_folder() / "configs").glob("*.yml")
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
    config = registry.model_config(registry.TINY) | changes
    evo2, layers = build(config), list(registry.widths_of(config))
    for parameter in ("short_filter_bias", "bias"):
        for name, value in evo2.model.named_parameters():
            if name.endswith(parameter):
                drawn = torch.randn(value.shape, generator=torch.Generator().manual_seed(0))
                value.data.copy_(drawn)
    reference = Reference(evo2, layers)
    found = PackedEngine(evo2, layers).run(reference.pack)
    assert_same(found, reference.outputs, reference.bounds)


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
        lengths = [1200 // count] * count
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
