"""Stretches that run as several segments, against `Evo2.forward` over all of each at once."""

import logging

import numpy as np
import pytest
import torch
from evo2_embed.engine.footprint import KVCacheOptions
from evo2_embed.engine.pack import Pack
from evo2_embed.engine.packed import PackedEngine
from evo2_embed.engine.segment_lengths import SegmentLengths
from evo2_embed.io.errors import InputError
from evo2_embed.model import registry
from evo2_embed.model.loading import load_model
from evo2_embed.pack.assign import edges_of
from hypothesis import given, settings
from hypothesis import strategies as st
from stock import (
    LAYERS,
    alone,
    assert_same,
    bounds_of,
    each_alone,
    excess,
    in_float64,
    make_pack,
    packs_of,
    random_segments,
    run_packs,
    run_stretches,
    save_weights,
)

FEW = ["blocks.3", "blocks.6.filter", "norm"]


def rms(found, wanted):
    return float((found - wanted).square().mean().sqrt() / wanted.square().mean().sqrt())


@pytest.fixture(scope="module")
def stretch(evo2):
    """Tokens, and what the stock model gives for all of them at once."""
    tokens = random_segments([1500], seed=11)[0]
    return tokens, alone(evo2, tokens, LAYERS)


@pytest.fixture(scope="module")
def several(evo2):
    """Stretches, and what the stock model gives for each of them at once."""
    stretches = random_segments([700, 40, 1, 333, 100, 129, 512, 6], seed=100)
    return stretches, each_alone(evo2, make_pack(stretches), LAYERS)


@pytest.mark.parametrize(
    ("tokens", "lengths"),
    [(400, 4), (400, 63), (400, 64), (400, 127), (400, 128), (400, [1, 2, 3, 7, 140, 65])]
    + [(1500, 500), (1500, 1024)],
    ids=str,
)
def test_segments_equal_the_whole_stretch(engine, stretch, reference, tokens, lengths):
    found = run_packs(engine, packs_of(stretch[0][:tokens], lengths))
    # The stock model is causal: its outputs do not depend on later tokens.
    wanted = {layer: values[:tokens] for layer, values in stretch[1].items()}
    assert_same(found, wanted, reference.bounds)


@given(lengths=st.lists(st.integers(1, 400), min_size=1, max_size=6))
@settings(max_examples=8, deadline=None, derandomize=True)
def test_lengths_of_segments_do_not_matter(evo2, stretch, reference, lengths):
    # Fifty segments at most.
    lengths[0] += max(0, 12 - sum(lengths) // len(lengths)) * len(lengths)
    found = run_packs(PackedEngine(evo2, FEW), packs_of(stretch[0][:600], lengths))
    assert_same(found, {layer: stretch[1][layer][:600] for layer in FEW}, reference.bounds)


@pytest.mark.parametrize(("longest", "budget"), [(100, 100), (100, 250), (64, 400), (333, 1000)])
def test_stretches_side_by_side(engine, several, reference, longest, budget):
    stretches, wanted = several
    assert_same(run_stretches(engine, stretches, longest, budget), wanted, reference.bounds)


def test_a_lost_state_would_show(tmp_path):
    """Slow poles and strong residues: tokens from long ago still count."""
    path = save_weights(registry.model_config(registry.TINY), tmp_path / "slow.pt")
    weights = torch.load(path)
    for name, values in weights.items():
        if name.endswith("log_poles"):
            values /= 300
    torch.save(weights, path)
    evo2 = load_model(registry.TINY, path, "fp32")
    tokens, engine = random_segments([2000])[0], PackedEngine(evo2, FEW)
    wanted, exact = (alone(model, tokens, FEW) for model in (evo2, in_float64(evo2)))
    bounds = bounds_of(wanted, exact)
    assert_same(run_packs(engine, packs_of(tokens, 700)), wanted, bounds)
    lost = run_packs(engine, packs_of(tokens, 700, alone=True))
    assert min(excess(lost, wanted, bounds).values()) > 1000
    assert min(rms(lost[layer], wanted[layer]) for layer in FEW) > 0.05


@pytest.fixture(scope="module")
def whole(evo2, stretch):
    """The stretch in packs, and the outputs of an engine with the ordinary KV cache."""
    packs = packs_of(stretch[0][:900], 256)
    return packs, run_packs(PackedEngine(evo2, FEW), packs)


@pytest.mark.parametrize(
    ("kv_cache", "least", "most"),
    [
        (KVCacheOptions("model", "host"), 0, 0),
        # Half a unit in the last place: 2**-9 in bfloat16, and of int8 1 / 254 of the largest.
        (KVCacheOptions("bf16"), 1e-6, 2**-9),
        (KVCacheOptions("int8", "host"), 1e-6, 1 / 254),
    ],
    ids=str,
)
def test_a_kv_cache_elsewhere_or_of_a_smaller_type(evo2, whole, kv_cache, least, most):
    packs, wanted = whole
    found = run_packs(PackedEngine(evo2, FEW, kv_cache), packs)
    for layer in FEW:
        assert least <= rms(found[layer], wanted[layer]) <= most, layer


def test_segments_that_are_not_wanted_change_nothing_for_the_others(evo2):
    engine, segments = PackedEngine(evo2, FEW), random_segments([300, 250, 200])
    first = Pack(segments[0], np.array([0, 300]), 0, np.array([5]), np.array([0]), np.array([250]))
    ends, stretch = edges_of([250, 200]), np.array([5, 6])
    context = {"offset": np.array([300, 0]), "remaining": np.array([0, 0])}
    tokens = np.concatenate(segments[1:])
    engine.run(first)
    whole = engine.run(Pack(tokens, ends, 0, stretch, **context))
    wanted = np.array([False, True])
    part = engine.run(Pack(tokens, ends, 0, stretch, **context, wanted=wanted))
    for layer in FEW:
        assert torch.equal(part[layer][250:], whole[layer][250:])
        assert not torch.equal(part[layer][:250], whole[layer][:250])
    with pytest.raises(ValueError, match="stretch 5: its earlier segments did not run"):
        engine.run(Pack(tokens, ends, 0, stretch, **context))


def test_a_pack_that_did_not_fit_leaves_the_states_as_they_were(
    evo2, stretch, reference, monkeypatch, caplog
):
    engine = PackedEngine(evo2, FEW)
    last = engine.blocks[-1]

    def tight(x, *arguments):
        if len(x) > 300:
            raise torch.cuda.OutOfMemoryError("out of memory")
        last(x, *arguments)

    engine.blocks[-1] = tight
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    tokens, wanted = stretch
    with caplog.at_level(logging.WARNING):
        found = run_packs(engine, packs_of(tokens, 600))
    assert "600 tokens were too many" in caplog.text
    assert_same(found, {layer: wanted[layer] for layer in FEW}, reference.bounds)


def test_a_segment_that_does_not_fit_is_divided(evo2, stretch, reference):
    tokens, wanted = stretch
    small, ran = PackedEngine(evo2, FEW), []
    first = small.blocks[0]
    small.blocks[0] = lambda x, *arguments: (ran.append(len(x)), first(x, *arguments))
    small.free = small.footprint.cache_bytes(len(tokens)) + small.footprint.bytes(
        SegmentLengths(np.array([800]), np.array([700]))
    )
    found = run_packs(small, packs_of(tokens, len(tokens)))
    assert ran == [750, 750]
    assert_same(found, {layer: wanted[layer] for layer in FEW}, reference.bounds)
    small.free = small.footprint.cache_bytes(len(tokens))
    with pytest.raises(InputError, match=r"tokens need .* KV cache of 1500 tokens .* free"):
        small.run(packs_of(tokens, len(tokens))[0])
