"""The packed engine against `Evo2.forward` on each segment alone."""

import logging
from collections import Counter
from itertools import accumulate

import numpy as np
import pytest
import torch
from evo2_embed import models
from evo2_embed.engines import PackedEngine, StockEngine, check, check_engine
from evo2_embed.engines.memory import free_bytes, free_in_control_groups
from evo2_embed.engines.segments import Segments
from evo2_embed.errors import InputError
from evo2_embed.loading import build_model, load_model
from hypothesis import given, settings
from hypothesis import strategies as st
from stock import (
    layer_names,
    make_pack,
    random_segments,
    save_weights,
    segments_of,
    worst_difference,
)
from torch.utils._python_dispatch import TorchDispatchMode

from workflow import ROOT, run_python

LAYERS = layer_names(models.model_config(models.TINY))
YAMLS = {
    "evo2_1b_base": 32,
    "evo2_7b_base": 64,
    "evo2_7b_262k": 64,
    "evo2_7b": 64,
    "evo2_20b": 128,
    "evo2_40b_base": 128,
    "evo2_40b": 128,
}
# Vortex puts a model on a GPU where it sees one; CUDA_VISIBLE_DEVICES= hides it.
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
# Shorter than, as long as and longer than each filter, and than a block of tokens.
EDGES = [1, 2, 3, 6, 7, 63, 64, 65, 127, 128, 129, 200]


@pytest.fixture(scope="module", params=[DEVICE])
def evo2():
    torch.set_num_threads(2)
    return load_model(models.TINY, models.bundled_checkpoint(), "fp32")


@pytest.fixture(scope="module")
def engine(evo2):
    return PackedEngine(evo2, LAYERS)


def assert_equal_to_stock(evo2, engine, pack, layers=LAYERS, tolerance=1e-5):
    worst = worst_difference(evo2, engine, pack, layers)
    assert {layer: value for layer, value in worst.items() if not value <= tolerance} == {}


def test_segments_of_every_critical_length(evo2, engine):
    assert_equal_to_stock(evo2, engine, make_pack(random_segments(EDGES)))


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
    for layer in LAYERS:
        one, two = first[layer][64:764], second[layer][64:764]
        assert (one - two).abs().max() <= 1e-5 * one.abs().mean(), layer


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
    for layer in LAYERS:
        apart = torch.cat([part[layer] for part in parts])
        assert (whole[layer] - apart).abs().max() <= 1e-5 * apart.abs().mean(), layer


@pytest.mark.parametrize("tile", [5, 64, 333])
def test_segments_may_lie_across_tiles(evo2, engine, tile):
    pack = make_pack(random_segments([1, 400, 3, 64, 64, 90]))
    small = PackedEngine(evo2, LAYERS)
    for block in small.blocks:
        block.tile = tile
        block.channel_elements = 1
    whole, tiled = engine.run(pack), small.run(pack)
    for layer in LAYERS:
        assert (whole[layer] - tiled[layer]).abs().max() <= 1e-5 * whole[layer].abs().mean(), layer


def shrunken(name, divisor):
    """The settings of a model with its widths divided; kinds and order of blocks are kept."""
    config = dict(models.model_config(name))
    for key in ("hidden_size", "num_filters", "hcl_filter_groups", "inner_mlp_size"):
        config[key] //= divisor
    for key in ("hcm_filter_groups", "hcs_filter_groups"):
        config[key] //= divisor
    config["num_attention_heads"] = 3 if config["hidden_size"] % 3 == 0 else 4
    return config


@pytest.fixture
def build(tmp_path):
    """A function that gives a model of these settings, with random weights."""
    return lambda config: build_model(
        config, save_weights(config, tmp_path / "weights.pt"), "fp32", "it"
    )


@pytest.mark.parametrize("name", YAMLS)
def test_the_settings_of_every_model(build, name):
    config = shrunken(name, YAMLS[name])
    evo2, layers = build(config), layer_names(config)
    assert len(evo2.model.blocks) == models.model_config(name)["num_layers"]
    pack = make_pack(random_segments([300, 1, 64, 129]))
    assert_equal_to_stock(evo2, PackedEngine(evo2, layers), pack, layers)


def test_every_yaml_of_the_package_is_tested():
    configs = {models._evo2_tables().CONFIG_MAP[name] for name in YAMLS}
    assert configs == {
        f"configs/{path.name}" for path in (models._evo2_folder() / "configs").glob("*.yml")
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
        {"final_norm": False, "mha_out_proj_bias": False, "hyena_out_proj_bias": False},
    ],
    ids=lambda changes: ",".join(f"{key}={value}" for key, value in changes.items()),
)
def test_other_settings_of_the_architecture(build, changes):
    config = models.model_config(models.TINY) | changes
    if not config["final_norm"]:
        pytest.skip("vortex itself cannot run without its last norm")
    evo2, layers = build(config), layer_names(config)
    if not config["evo2_style_activations"]:
        layers = [layer for layer in layers if not layer.endswith("mlp.act")]
    for parameter in ("short_filter_bias", "bias"):
        for name, value in evo2.model.named_parameters():
            if name.endswith(parameter):
                value.data.normal_(generator=torch.Generator().manual_seed(0))
    pack = make_pack(random_segments([300, 1, 64, 129]))
    assert_equal_to_stock(evo2, PackedEngine(evo2, layers), pack, layers, tolerance=2e-5)


class FlashStandIn(torch.nn.Module):
    """Takes what vortex's flash attention takes, and does with it what that does."""

    window_size = (-1, -1)

    def forward(self, qkv, cu_seqlens, max_seqlen):
        assert cu_seqlens.dtype == torch.int32
        assert isinstance(max_seqlen, int)
        assert max_seqlen == int(cu_seqlens.diff().max())
        assert qkv.shape[0] == int(cu_seqlens[-1])
        parts = qkv.split(cu_seqlens.diff().tolist())
        heads_first = [part.permute(1, 2, 0, 3) for part in parts]  # (3, heads, L, head_dim)
        attention = torch.nn.functional.scaled_dot_product_attention
        return torch.cat([attention(*x, is_causal=True).transpose(0, 1) for x in heads_first])


@pytest.fixture
def replace():
    """A function that gives a module another submodule for the time of a test."""
    before = []

    def replace(module, name, value):
        before.append((module, name, getattr(module, name)))
        setattr(module, name, value)

    yield replace
    for module, name, value in before:
        setattr(module, name, value)


def test_the_flash_kernel_gets_the_segments(evo2, replace):
    pack = make_pack(random_segments([300, 1, 64, 300]))
    found = PackedEngine(evo2, ["norm"]).run(pack)["norm"]
    for index in (3, 7):
        replace(evo2.model.blocks[index].inner_mha_cls, "inner_attn", FlashStandIn())
    flash = PackedEngine(evo2, ["norm"]).run(pack)["norm"]
    assert (flash - found).abs().max() <= 1e-5 * found.abs().mean()


class Fp8StandIn(torch.nn.Module):
    """Projections that take a multiple of 16 tokens only, as those of FP8 do."""

    use_fp8_input_projections = True

    def __init__(self, projections):
        super().__init__()
        self.projections = projections

    def forward(self, x):
        assert x.shape[1] % 16 == 0
        return self.projections(x)


def test_fp8_projections_get_a_multiple_of_16_tokens(evo2, engine, replace, monkeypatch):
    pack = make_pack(random_segments([300, 1, 64, 33]))
    found = engine.run(pack)
    for block in evo2.model.blocks:
        if hasattr(block, "projections"):
            replace(block, "projections", Fp8StandIn(block.projections))
    monkeypatch.setitem(evo2.model.config, "use_fp8_input_projections", True)
    fp8 = PackedEngine(evo2, LAYERS).run(pack)
    for layer in LAYERS:
        assert (fp8[layer] - found[layer]).abs().max() <= 1e-5 * found[layer].abs().mean(), layer


def test_short_filters_by_convolution_and_by_shifts_are_the_same(evo2, engine):
    pack = make_pack(random_segments([300, 1, 2, 64, 33]))
    other = PackedEngine(evo2, LAYERS)
    for block in other.blocks:
        for name in ("short", "inner"):
            if hasattr(getattr(block, name, None), "by_convolution"):
                part = getattr(block, name)
                part.by_convolution = not part.by_convolution
    assert (
        sum(hasattr(getattr(block, "inner", None), "by_convolution") for block in other.blocks) == 2
    )
    one, two = engine.run(pack), other.run(pack)
    for layer in LAYERS:
        assert (one[layer] - two[layer]).abs().max() <= 1e-5 * one[layer].abs().mean(), layer


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
    segments = Segments(lengths)
    batches = segments.batches()
    assert sorted(np.concatenate(batches).tolist()) == list(range(500))
    assert len(batches) < 110
    filled_up = sum(len(batch) * lengths[batch].max() for batch in batches)
    assert filled_up <= 1.06 * lengths.sum() + 32 * 500


def test_a_pack_that_does_not_fit_runs_in_parts(evo2, engine):
    pack = make_pack(random_segments([300, 200, 700, 100]))
    small = PackedEngine(evo2, LAYERS)
    small.free = small.footprint.bytes(Segments(np.array([700])))
    assert small.footprint.bytes(Segments(pack.lengths)) > small.free
    whole, parts = engine.run(pack), small.run(pack)
    for layer in LAYERS:
        assert (whole[layer] - parts[layer]).abs().max() <= 1e-5 * whole[layer].abs().mean(), layer
    small.free -= 1
    with pytest.raises(InputError, match=r"a segment of 700 tokens needs 0\.\d+ GiB .* free"):
        small.run(pack)


def test_out_of_memory_halves_the_pack_and_is_remembered(evo2, engine, monkeypatch, caplog):
    most = []
    small = PackedEngine(evo2, LAYERS)
    first = small.blocks[0]

    class Tight:
        tile = first.tile

        def __call__(self, x, *arguments):
            most.append(len(x))
            if len(x) > 900:
                raise torch.cuda.OutOfMemoryError("out of memory")
            first(x, *arguments)

    small.blocks[0] = Tight()
    pack = make_pack(random_segments([300, 200, 700, 100, 300]))
    with caplog.at_level(logging.WARNING):
        parts = small.run(pack)
    assert "1600 tokens were too many" in caplog.text
    whole = engine.run(pack)
    for layer in LAYERS:
        assert (whole[layer] - parts[layer]).abs().max() <= 1e-5 * whole[layer].abs().mean(), layer
    most.clear()
    small.run(pack)
    assert max(most) <= 900
    with pytest.raises(InputError, match="a segment of 901 tokens does not fit the memory"):
        small.run(make_pack(random_segments([901])))


@pytest.mark.parametrize(
    ("lengths", "layers"),
    [
        ([60_000], ["blocks.6.mlp.l3"]),
        ([8192] * 14, ["blocks.6.mlp.l3", "norm", "blocks.2.projections"]),
        ([150] * 700, ["norm"]),
        ([5000, 4100, 3300, 2500, 1500, 700] * 7, ["norm"]),
    ],
    ids=["long", "windows", "reads", "mixed"],
)
def test_the_memory_formula_is_what_is_measured(tmp_path, lengths, layers):
    code = f"""
import sys
from pathlib import Path
import numpy as np, torch
sys.path[:0] = [{str(ROOT / "tests")!r}, {str(ROOT / "resources")!r}]
from evo2_embed import models
from evo2_embed.engines import PackedEngine
from evo2_embed.engines.segments import Segments
from evo2_embed.loading import load_model
from stock import make_pack, random_segments

def resident(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) * 1024

evo2 = load_model(models.TINY, models.bundled_checkpoint(), "fp32")
engine = PackedEngine(evo2, {layers})
engine.run(make_pack(random_segments([1000, 70])))
pack = make_pack(random_segments({lengths}))
if torch.cuda.is_available():
    engine.scratch.clear()
    before = torch.cuda.memory_allocated()
    outputs = engine.run(pack)
    peak = torch.cuda.max_memory_allocated()
else:
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from now on
    before = resident("VmRSS")
    outputs = engine.run(pack)
    peak = resident("VmHWM")
print((peak - before) / engine.footprint.bytes(Segments(pack.lengths)))
"""
    # The allocator and the matrix products keep a little for themselves.
    assert 0.6 <= float(run_python(code, tmp_path).split()[-1]) <= 1.1


def test_free_memory_is_that_of_the_control_group(tmp_path):
    assert 0 < free_bytes(torch.device("cpu")) < 1 << 50
    job = tmp_path / "slurm" / "job"
    job.mkdir(parents=True)
    for folder, limit in ((job, "max"), (job.parent, "1000")):
        (folder / "memory.max").write_text(limit)
        (folder / "memory.current").write_text("900")
        (folder / "memory.stat").write_text("active_file 50\ninactive_file 7\nanon 800\n")
    assert free_in_control_groups(["0::/slurm/job"], tmp_path) == 157
    assert free_in_control_groups(["0::/"], tmp_path) == np.inf


def test_the_self_check_passes_and_says_by_how_much(evo2):
    layers = ["blocks.6.mlp.l3", "norm"]
    result = check_engine(PackedEngine(evo2, layers), evo2, layers, "fp32")
    assert result["tolerance"] == check.TOLERANCE["fp32"]
    assert set(result["difference"]) == set(layers)
    assert all(0 < value < result["tolerance"] for value in result["difference"].values())


@pytest.mark.parametrize("fault", ["rotary", "leak", "nan", "filter"])
def test_the_self_check_stops_an_engine_that_differs(evo2, fault):
    engine = PackedEngine(evo2, ["norm"])
    if fault == "rotary":
        engine.run(make_pack(random_segments([700])))
        engine.rotary[0].cos.fill_(1)
        engine.rotary[0].sin.fill_(0)
    if fault == "leak":
        engine.blocks[0].short._mend_heads = lambda *_: None
    if fault == "nan":
        engine.blocks[0].short.taps = engine.blocks[0].short.taps * torch.nan  # differs by nan
    if fault == "filter":
        engine.blocks[2].inner.residues = engine.blocks[2].inner.residues * 1.05
    with pytest.raises(InputError, match=r"layer 'norm': .* differs .* fp32 allows 1e-05"):
        check_engine(engine, evo2, ["norm"], "fp32")


def test_a_model_that_gives_no_numbers_is_refused(evo2):
    weight = evo2.model.blocks[7].mlp.l3.weight.data
    before = weight.clone()
    weight.fill_(torch.inf)
    try:
        with pytest.raises(InputError, match="layer 'norm': Evo2.forward itself .* finite"):
            check_engine(PackedEngine(evo2, ["norm"]), evo2, ["norm"], "fp32")
    finally:
        weight.copy_(before)


def test_bf16_is_as_near_to_fp32_as_stock_bf16_is(evo2):
    layers = ["blocks.2.filter", "blocks.3.inner_mha_cls.Wqkv", "blocks.6.mlp.l3", "norm"]
    half = load_model(models.TINY, models.bundled_checkpoint(), "bf16")
    pack = make_pack(random_segments([1000, 64, 7, 400]))
    exact = StockEngine(evo2, layers).run(pack)
    stock, packed = StockEngine(half, layers).run(pack), PackedEngine(half, layers).run(pack)
    for layer in layers:
        assert packed[layer].dtype == stock[layer].dtype
        scale = exact[layer].square().mean().sqrt()
        far = [
            float((a.float() - b.float()).square().mean().sqrt() / scale)
            for a, b in (
                (stock[layer], exact[layer]),
                (packed[layer], exact[layer]),
                (packed[layer], stock[layer]),
            )
        ]
        assert far[1] <= 1.1 * far[0], (layer, far)
        assert far[2] <= check.TOLERANCE["bf16"], (layer, far)
