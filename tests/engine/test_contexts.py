"""Stretches that run piece by piece, against `Evo2.forward` over all of each at once."""

import logging

import numpy as np
import pytest
import torch
from evo2_embed.engine.footprint import KVCacheOptions
from evo2_embed.engine.pack import Pack
from evo2_embed.engine.packed import PackedEngine
from evo2_embed.io.errors import InputError
from evo2_embed.model import models
from evo2_embed.model.loading import load_model
from evo2_embed.pack.assign import cut_segments, edges_of
from hypothesis import given, settings
from hypothesis import strategies as st
from stock import LAYERS, alone, assert_same, packs_of, random_segments, save_weights

FEW = ["blocks.3", "blocks.6.filter", "norm"]


def run_pieces(engine, packs):
    """Outputs of the pieces of one stretch, end to end."""
    outputs = [engine.run(pack) for pack in packs]
    return {layer: torch.cat([each[layer] for each in outputs]) for layer in engine.layers}


def run_stretches(engine, segments, piece, budget):
    """Outputs of several stretches, which run side by side."""
    cut = cut_segments(np.array([len(segment) for segment in segments]), piece, budget)
    found = [[] for _ in segments]
    for first, stop in zip(cut.edges[:-1], cut.edges[1:], strict=True):
        stretch, position, length, left = (
            getattr(cut, name)[first:stop] for name in ("stretch", "offset", "length", "remaining")
        )
        tokens = [segments[s][p : p + n] for s, p, n in zip(stretch, position, length, strict=True)]
        outputs = engine.run(
            Pack(np.concatenate(tokens), edges_of(length), 0, stretch, position, left)
        )
        parts = {layer: values.split(length.tolist()) for layer, values in outputs.items()}
        for row, number in enumerate(stretch):
            found[number].append({layer: values[row] for layer, values in parts.items()})
    assert not engine.states.open
    return [{x: torch.cat([part[x] for part in parts]) for x in engine.layers} for parts in found]


def rms(found, wanted):
    return float((found - wanted).square().mean().sqrt() / wanted.square().mean().sqrt())


@pytest.fixture(scope="module")
def stretch(evo2):
    """Tokens, and what the stock model gives for all of them at once."""
    tokens = random_segments([1500], seed=11)[0]
    return tokens, alone(evo2, tokens, LAYERS)


@pytest.mark.parametrize("piece", [4, 63, 64, 127, 128, 500, 1024, [1, 2, 3, 7, 400, 65]], ids=str)
def test_pieces_equal_the_whole(engine, stretch, piece):
    tokens, wanted = stretch
    assert_same(run_pieces(engine, packs_of(tokens, piece)), wanted)


@given(sizes=st.lists(st.integers(1, 700), min_size=1, max_size=6))
@settings(max_examples=8, deadline=None, derandomize=True)
def test_sizes_of_pieces_do_not_matter(evo2, stretch, sizes):
    tokens, wanted = stretch
    # A hundred pieces at most.
    sizes[0] += max(0, 15 - sum(sizes) // len(sizes)) * len(sizes)
    found = run_pieces(PackedEngine(evo2, FEW), packs_of(tokens, sizes))
    assert_same(found, {layer: wanted[layer] for layer in FEW})


@pytest.mark.parametrize(("piece", "budget"), [(100, 100), (100, 250), (64, 400), (333, 1000)])
def test_stretches_side_by_side(evo2, engine, piece, budget):
    segments = random_segments([700, 40, 1, 333, 100, 129, 512, 6], seed=piece)
    found = run_stretches(engine, segments, piece, budget)
    for tokens, outputs in zip(segments, found, strict=True):
        wanted = alone(evo2, tokens, LAYERS)
        for layer in LAYERS:
            difference = (outputs[layer] - wanted[layer]).abs().max()
            # Of a few tokens the mean is no measure.
            assert difference <= 1e-5 * max(1, wanted[layer].abs().mean()), layer


def test_a_lost_state_would_show(tmp_path):
    """Slow poles and strong residues: what was long ago still counts."""
    path = save_weights(models.model_config(models.TINY), tmp_path / "slow.pt")
    weights = torch.load(path)
    for name, values in weights.items():
        if name.endswith("log_poles"):
            values /= 300
    torch.save(weights, path)
    evo2 = load_model(models.TINY, path, "fp32")
    tokens = random_segments([3000])[0]
    wanted, engine = alone(evo2, tokens, FEW), PackedEngine(evo2, FEW)
    found = run_pieces(engine, packs_of(tokens, 700))
    lost = run_pieces(engine, packs_of(tokens, 700, alone=True))
    for layer in FEW:
        assert rms(found[layer], wanted[layer]) < 2e-6, layer
        assert rms(lost[layer], wanted[layer]) > 0.05, layer


@pytest.mark.parametrize(
    ("kv_cache", "least", "most"),
    [
        (KVCacheOptions("model", "host"), 0, 0),
        (KVCacheOptions("bf16"), 1e-6, 2e-3),
        (KVCacheOptions("int8", "host"), 1e-6, 5e-3),
    ],
    ids=str,
)
def test_keys_and_values_kept_elsewhere_or_smaller(evo2, stretch, kv_cache, least, most):
    packs = packs_of(stretch[0], 256)
    whole = run_pieces(PackedEngine(evo2, FEW), packs)
    found = run_pieces(PackedEngine(evo2, FEW, kv_cache), packs)
    for layer in FEW:
        assert least <= rms(found[layer], whole[layer]) <= most, layer


def test_segments_that_are_not_wanted_change_nothing_for_the_others(evo2):
    engine, segments = PackedEngine(evo2, FEW), random_segments([300, 250, 200])
    first = Pack(segments[0], np.array([0, 300]), 0, np.array([5]), np.array([0]), np.array([250]))
    lengths, stretch = edges_of([250, 200]), np.array([5, 6])
    context = {"offset": np.array([300, 0]), "remaining": np.array([0, 0])}
    tokens = np.concatenate(segments[1:])
    engine.run(first)
    whole = engine.run(Pack(tokens, lengths, 0, stretch, **context))
    wanted = np.array([False, True])
    part = engine.run(Pack(tokens, lengths, 0, stretch, **context, wanted=wanted))
    for layer in FEW:
        assert torch.equal(part[layer][250:], whole[layer][250:])
        assert not torch.equal(part[layer][:250], whole[layer][:250])
    with pytest.raises(ValueError, match="stretch 5: its earlier segments did not run"):
        engine.run(Pack(tokens, lengths, 0, stretch, **context))


def test_a_pack_that_did_not_fit_leaves_the_past_as_it_was(evo2, stretch, monkeypatch, caplog):
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
        found = run_pieces(engine, packs_of(tokens, 600))
    assert "600 tokens were too many" in caplog.text
    assert_same(found, {layer: wanted[layer] for layer in FEW})


def test_a_segment_that_does_not_fit_runs_in_pieces(evo2, stretch):
    tokens, wanted = stretch
    small = PackedEngine(evo2, FEW)
    small.free = small.footprint.cache_bytes(len(tokens)) + 12 << 20
    found = run_pieces(small, packs_of(tokens, len(tokens)))
    assert_same(found, {layer: wanted[layer] for layer in FEW})
    small.free = small.footprint.cache_bytes(len(tokens))
    with pytest.raises(InputError, match=r"tokens need .* KV cache of 1500 tokens .* free"):
        small.run(packs_of(tokens, len(tokens))[0])
