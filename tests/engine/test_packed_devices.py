"""What the packed engine does on other devices and in other precisions, and its self-check."""

import pytest
import torch
from evo2_embed.engine import attention, check
from evo2_embed.engine.check import check_engine
from evo2_embed.engine.footprint import KVCacheOptions
from evo2_embed.engine.kv_cache import KVCache
from evo2_embed.engine.packed import PackedEngine
from evo2_embed.engine.stock import StockEngine
from evo2_embed.io.errors import InputError
from evo2_embed.model import registry
from evo2_embed.model.loading import load_model
from stock import (
    LAYERS,
    REFERENCE,
    assert_same,
    excess,
    make_pack,
    packs_of,
    random_segments,
    run_packs,
)
from torch._subclasses.fake_tensor import FakeTensorMode


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


def test_the_flash_kernel_gets_the_segments(evo2, reference, replace):
    for index in (3, 7):
        replace(evo2.model.blocks[index].inner_mha_cls, "inner_attn", FlashStandIn())
    found = PackedEngine(evo2, LAYERS).run(reference.pack)
    assert_same(found, reference.outputs, reference.bounds)


def test_pytorchs_kernel_gets_the_segments(evo2, reference, monkeypatch):
    monkeypatch.setattr(attention, "_has_varlen", lambda qkv: True)
    monkeypatch.setattr(attention, "_varlen", FlashStandIn())
    found = PackedEngine(evo2, LAYERS).run(reference.pack)
    assert_same(found, reference.outputs, reference.bounds)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_pytorchs_kernel_takes_segments_of_any_length(dtype):
    with FakeTensorMode():  # torch checks the call, and gives the shape that a GPU would give
        qkv = torch.empty(10, 3, 4, 32, device="cuda", dtype=dtype)
        edges = torch.empty(4, device="cuda", dtype=torch.int32)
        assert attention._has_varlen(qkv)
        assert not attention._has_varlen(qkv.float())
        out = attention._varlen(qkv, edges, 6)
    assert (out.shape, out.dtype, out.device.type) == ((10, 4, 32), dtype, "cuda")


class Fp8StandIn(torch.nn.Module):
    """Projections that take a multiple of 16 tokens only, as those of FP8 do."""

    use_fp8_input_projections = True

    def __init__(self, projections):
        super().__init__()
        self.projections = projections

    def forward(self, x):
        assert x.shape[1] % 16 == 0
        return self.projections(x)


def test_fp8_projections_get_a_multiple_of_16_tokens(evo2, reference, replace, monkeypatch):
    for block in evo2.model.blocks:
        if hasattr(block, "projections"):
            replace(block, "projections", Fp8StandIn(block.projections))
    monkeypatch.setitem(evo2.model.config, "use_fp8_input_projections", True)
    found = PackedEngine(evo2, LAYERS).run(reference.pack)
    assert_same(found, reference.outputs, reference.bounds)


def test_short_filters_by_convolution_and_by_shifts_are_the_same(evo2, reference):
    other, changed = PackedEngine(evo2, LAYERS), 0
    mixers = [block.mixer for block in other.blocks if hasattr(block, "mixer")]
    for part in (part for mixer in mixers for part in (mixer.short, mixer.inner)):
        if hasattr(part, "by_convolution"):
            part.by_convolution = not part.by_convolution
            changed += 1
    assert changed == 6 + 2
    assert_same(other.run(reference.pack), reference.outputs, reference.bounds)


def test_the_self_check_passes_and_says_by_how_much(evo2):
    layers = ["blocks.6.mlp.l3", "norm"]
    result = check_engine(PackedEngine(evo2, layers), evo2, layers, "fp32")
    assert result["tolerance"] == check.TOLERANCE["fp32"]
    assert set(result["difference"]) == set(layers)
    assert all(0 < value < result["tolerance"] for value in result["difference"].values())
    assert 0 < result["noise"] < result["tolerance"] / check.FACTOR


class Noisy(StockEngine):
    """A stock model whose outputs depend on what follows."""

    factor = 1.0

    def run(self, pack):
        longer = pack.lengths[0] > check.MORE
        outputs = super().run(pack)
        return {k: v * self.factor if longer else v for k, v in outputs.items()}


@pytest.mark.parametrize("noise", [1e-5, 3e-5])
def test_the_self_check_allows_a_multiple_of_the_stock_models_noise(evo2, monkeypatch, noise):
    monkeypatch.setattr(Noisy, "factor", 1 + noise)
    monkeypatch.setattr(check, "StockEngine", Noisy)
    engine = Wrong(evo2, ["norm"])
    engine.factor = 1 + 2.5 * noise
    result = check_engine(engine, evo2, ["norm"], "fp32")
    assert result["tolerance"] == pytest.approx(3 * noise, rel=0.1)
    engine.factor = 1 + 3.5 * noise
    with pytest.raises(InputError, match=r"layer 'norm': .* differs .* fp32 allows"):
        check_engine(engine, evo2, ["norm"], "fp32")


@pytest.mark.parametrize("noise", [1e-3, float("nan")])
def test_a_model_that_differs_from_itself_is_refused(evo2, monkeypatch, noise):
    monkeypatch.setattr(Noisy, "factor", 1 + noise)
    monkeypatch.setattr(check, "StockEngine", Noisy)
    with pytest.raises(InputError, match="layer 'norm': .* Evo2.forward differs from itself by"):
        check_engine(PackedEngine(evo2, ["norm"]), evo2, ["norm"], "fp32")


@pytest.mark.parametrize("fault", ["rotary", "leak", "nan", "filter", "state", "past"])
def test_the_self_check_and_the_bounds_notice_a_fault(evo2, reference, fault, monkeypatch):
    engine = PackedEngine(evo2, ["norm"])
    if fault == "rotary":
        engine.blocks[3].rotary.frequencies = engine.blocks[3].rotary.frequencies * 0
    if fault == "leak":
        engine.blocks[0].mixer.short._redo_heads = lambda *_: None
    if fault == "nan":
        engine.blocks[0].mixer.short.taps = (
            engine.blocks[0].mixer.short.taps * torch.nan
        )  # differs by nan
    if fault == "filter":
        engine.blocks[2].mixer.inner.residues = engine.blocks[2].mixer.inner.residues * 1.05
    if fault == "state":
        engine.blocks[2].mixer.inner._add_earlier = lambda *_: None
    if fault == "past":
        monkeypatch.setattr(KVCache, "tiles", lambda *_: ())
    with pytest.raises(InputError, match=r"layer 'norm': .* differs .* fp32 allows 1e-05"):
        check_engine(engine, evo2, ["norm"], "fp32")
    wanted, length = {"norm": reference.outputs["norm"]}, REFERENCE[0]
    found = run_packs(engine, packs_of(reference.pack.tokens[:length], [140, 25]))
    pack = excess(engine.run(reference.pack), wanted, reference.bounds)["norm"]
    stretch = excess(found, {"norm": wanted["norm"][:length]}, reference.bounds)["norm"]
    assert not (pack <= 1000 and stretch <= 1000)


class Wrong(PackedEngine):
    """An engine whose outputs are wrong: by a factor, or not a number in one segment of a pack."""

    factor, segment = 1.0, None

    def run(self, pack):
        outputs = {layer: values * self.factor for layer, values in super().run(pack).items()}
        if self.segment is not None and len(pack.lengths) > 1:
            first = int(pack.cu_seqlens[self.segment])
            for values in outputs.values():
                values[first, 0] = torch.nan
        return outputs


@pytest.mark.parametrize(
    ("precision", "kv_type", "allowed"),
    [
        ("fp32", "model", 1e-5),
        ("fp32", "bf16", 0.01001),
        ("fp32", "int8", 0.02001),
        ("bf16", "model", 0.01),
        ("fp8", "model", 0.15),
    ],
)
def test_the_self_check_allows_exactly_this_difference(evo2, precision, kv_type, allowed):
    engine = Wrong(evo2, ["norm"], KVCacheOptions(kv_type))
    # The cache and rounding add a little of their own.
    engine.factor = 1 + 0.85 * allowed
    assert check_engine(engine, evo2, ["norm"], precision)["tolerance"] == pytest.approx(allowed)
    engine.factor = 1 + 1.15 * allowed
    with pytest.raises(InputError, match=f"differs from Evo2.forward .*{precision} allows"):
        check_engine(engine, evo2, ["norm"], precision)


@pytest.mark.parametrize("segment", range(len(check.LENGTHS)))
def test_the_self_check_notices_nan_in_any_segment_of_a_pack(evo2, segment):
    engine = Wrong(evo2, ["norm"])
    engine.segment = segment
    with pytest.raises(InputError, match="differs from Evo2.forward by nan"):
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


@pytest.fixture(scope="module")
def half():
    """The trained model in bf16."""
    return load_model(registry.TINY, registry.bundled_checkpoint(), "bf16")


def test_the_self_check_passes_in_bf16_and_notices_a_fault(half):
    engine = PackedEngine(half, ["norm"])
    found = check_engine(engine, half, ["norm"], "bf16")
    assert found["tolerance"] <= 0.03
    engine.blocks[0].mixer.short._redo_heads = lambda *_: None
    with pytest.raises(InputError, match=r"layer 'norm': .* differs .* bf16 allows"):
        check_engine(engine, half, ["norm"], "bf16")


def test_bf16_is_as_near_to_fp32_as_stock_bf16_is(half):
    layers = ["blocks.2.filter", "blocks.3.inner_mha_cls.Wqkv", "blocks.6.mlp.l3", "norm"]
    evo2 = load_model(registry.TINY, registry.bundled_checkpoint(), "fp32")
    pack = make_pack(random_segments([500, 64, 7, 200]))
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
            )
        ]
        assert far[1] <= 1.1 * far[0], (layer, far)
