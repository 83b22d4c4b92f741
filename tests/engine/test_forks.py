"""Forks, which begin inside another stretch, against `Evo2.forward` of each whole sequence."""

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from evo2_embed.engine import check, kv_cache
from evo2_embed.engine.check import check_engine
from evo2_embed.engine.footprint import KVCacheOptions
from evo2_embed.engine.pack import Pack
from evo2_embed.engine.packed import PackedEngine
from evo2_embed.engine.segments import Segments
from evo2_embed.engine.states import States
from evo2_embed.engine.stock import StockEngine
from evo2_embed.io.errors import InputError
from evo2_embed.model import registry
from evo2_embed.model.loading import build_model
from evo2_embed.pack import assign
from evo2_embed.settings.extraction import SCORES
from hypothesis import given, settings
from hypothesis import strategies as st
from stock import (
    LAYERS,
    YAMLS,
    Reference,
    alone,
    assert_same,
    excess,
    random_segments,
    run_stretches,
    save_weights,
    shrunken,
    stretch_packs,
)

FEW = ["blocks.3", "blocks.6.filter", "norm"]
# At and around the borders of the filters (3, 7 and 128 taps) and of the blocks (64 tokens).
BORDERS = [1, 2, 3, 6, 7, 8, 62, 63, 64, 65, 126, 127, 128, 129, 130, 191, 192, 193, 255, 256]


def changed(parent, point, allele, rest):
    """A fork of `parent`: another base there, `allele` bases in all, and `rest` of the parent."""
    alternate = random_segments([allele], seed=point + allele)[0]
    if point < len(parent):
        alternate[0] = b"ACGT"[(b"ACGT".index(parent[point]) + 1) % 4]
    return np.concatenate([alternate, parent[point + 1 : point + 1 + rest]])


def family(length, points, allele=1, rest=20, seed=0):
    """A parent and its forks, and where these begin: what `run_stretches` takes."""
    parent = random_segments([length], seed)[0]
    forks = [changed(parent, point, allele, rest) for point in points]
    return [parent, *forks], [None, *((0, point) for point in points)]


def whole(evo2, stretches, forks, layers):
    """What the stock model gives for the tokens of all stretches: a fork's, of its parent's tokens
    up to the fork point and its own after them."""
    outputs = []
    for tokens, fork in zip(stretches, forks, strict=True):
        before = stretches[fork[0]][: fork[1]] if fork else tokens[:0]
        every = alone(evo2, np.concatenate([before, tokens]), layers)
        outputs.append({layer: values[len(before) :] for layer, values in every.items()})
    return {layer: torch.cat([each[layer] for each in outputs]) for layer in layers}


@pytest.fixture
def many_states(monkeypatch):
    """As many states may wait in small packs as in large ones."""
    monkeypatch.setattr(assign, "TOKENS_PER_STATE", 1)


@pytest.fixture(scope="module")
def bordered(evo2):
    """Forks at every critical place, of one parent, and what the stock model gives for them."""
    stretches, forks = family(300, [*BORDERS, 299, 300], rest=12)
    return stretches, forks, whole(evo2, stretches, forks, LAYERS)


# Parents in one segment and in several; forks whole, cut by the pack, and longer than a pack.
@pytest.mark.parametrize(
    ("longest", "budget"), [(4096, 4096), (300, 300), (64, 400), (100, 101), (9, 9)]
)
def test_forks_at_every_border(engine, bordered, reference, longest, budget):
    stretches, forks, wanted = bordered
    assert_same(run_stretches(engine, stretches, longest, budget, forks), wanted, reference.bounds)


@pytest.mark.parametrize("allele", [1, 2, 3, 7, 64, 127, 200])
def test_alleles_of_one_to_200_bases(engine, evo2, reference, allele):
    stretches, forks = family(150, [1, 64, 130], allele)
    wanted = whole(evo2, stretches, forks, LAYERS)
    assert_same(run_stretches(engine, stretches, 4096, 4096, forks), wanted, reference.bounds)


@given(data=st.data(), length=st.integers(2, 400), longest=st.integers(20, 300))
@settings(max_examples=10, deadline=None, derandomize=True)
def test_random_families(evo2, reference, data, length, longest):
    """Several parents, several forks at a point, and stretches that are no forks."""
    stretches, forks = [], []
    for seed in range(data.draw(st.integers(1, 3))):
        points = data.draw(st.lists(st.integers(1, length), max_size=5))
        allele, rest = data.draw(st.integers(1, 200)), data.draw(st.integers(0, 100))
        mine, where = family(length, points, allele, rest, seed)
        forks += [fork and (len(stretches), fork[1]) for fork in where]
        stretches += mine
    engine = PackedEngine(evo2, FEW)
    budget = longest + data.draw(st.integers(0, 300))
    found = run_stretches(engine, stretches, longest, budget, forks)
    assert_same(found, whole(evo2, stretches, forks, FEW), reference.bounds)


def test_alternates_of_one_site_share_a_state(evo2, reference):
    parent = random_segments([200])[0]
    others = [base for base in b"ACGT" if base != parent[100]]
    tails = [np.append(np.uint8(base), parent[101:140]) for base in others]
    stretches, forks = [parent, *tails], [None] + [(0, 100)] * 3
    engine = PackedEngine(evo2, FEW)
    first, *later = stretch_packs(stretches, 4096, 240, forks)
    engine.run(first)
    assert [*engine.states.at_forks] == [(0, 100)]
    assert [len(pack.tokens) for pack in later] == [120]
    found = run_stretches(PackedEngine(evo2, FEW), stretches, 4096, 4096, forks)
    assert_same(found, whole(evo2, stretches, forks, FEW), reference.bounds)


@pytest.mark.parametrize("name", YAMLS)
def test_the_settings_of_every_model(name, tmp_path):
    config = shrunken(name, YAMLS[name])
    evo2 = build_model(config, save_weights(config, tmp_path / "weights.pt"), "fp32", "it")
    layers = [*registry.widths_of(config), SCORES]
    reference, engine = Reference(evo2, layers), PackedEngine(evo2, layers)
    stretches, forks = family(200, [1, 65, 128], 3, 30)
    found = run_stretches(engine, stretches, 140, 150, forks)
    assert_same(found, whole(evo2, stretches, forks, layers), reference.bounds)


@pytest.mark.parametrize("bos", [0, 1])
def test_the_first_base_of_a_fork_is_scored_after_those_of_its_parent(evo2, bos):
    stretches, forks = family(130, [1, 64, 100, 130], 2)
    if bos:
        stretches[0] = np.append(np.uint8(0), stretches[0])
        forks = [fork and (0, fork[1] + 1) for fork in forks]
    scored = Reference(evo2, [SCORES])
    found = run_stretches(PackedEngine(evo2, [SCORES]), stretches, 70, 80, forks)
    wanted = whole(evo2, stretches, forks, [SCORES])
    assert_same(found, wanted, scored.bounds)


def test_without_the_state_a_fork_would_be_wrong(evo2, reference):
    stretches, forks = family(150, [64, 100])
    wanted = whole(evo2, stretches, forks, FEW)
    engine = PackedEngine(evo2, FEW)
    assert_same(run_stretches(engine, stretches, 4096, 4096, forks), wanted, reference.bounds)
    for name in ("z", "u", "modes", "kv cache", "all"):
        enter = engine.states.enter

        def forgetful(*arguments, name=name, enter=enter):
            states = enter(*arguments)
            for state in states:
                state.before = [
                    {} if name == "all" else {k: v for k, v in before.items() if k != name}
                    for before in state.before
                ]
            return states

        engine.states.enter = forgetful
        lost = run_stretches(engine, stretches, 4096, 4096, forks)
        engine.states.enter = enter
        assert excess(lost, wanted, reference.bounds)["norm"] > 100, name


@pytest.mark.parametrize(
    ("options", "least", "most"),
    [
        (KVCacheOptions("model", "host"), 0, 0),
        (KVCacheOptions("bf16"), 1e-6, 2**-9),
        (KVCacheOptions("int8", "host"), 1e-6, 1 / 254),
    ],
    ids=str,
)
def test_a_kv_cache_elsewhere_or_of_a_smaller_type(evo2, options, least, most, monkeypatch):
    # Caches of several tiles, of which a fork reads some of its parent's and some of its own.
    monkeypatch.setattr(kv_cache, "KV_TILE", 50)
    stretches, forks = family(300, [1, 50, 130, 250], 40, 100)
    whole_cache, other = (
        run_stretches(PackedEngine(evo2, FEW, kind), stretches, 64, 200, forks)
        for kind in (None, options)
    )
    for layer in FEW:
        wanted, difference = whole_cache[layer], other[layer] - whole_cache[layer]
        rms = float(difference.square().mean().sqrt() / wanted.square().mean().sqrt())
        assert least <= rms <= most, layer


def test_a_fork_copies_nothing_of_its_parents_cache(evo2, many_states):
    stretches, forks = family(400, [390, 399], 100)
    engine = PackedEngine(evo2, ["norm"])
    *packs, _ = stretch_packs(stretches, 60, 500, forks)
    for pack in packs:
        engine.run(pack)
    # Both forks are half done.
    assert sorted(engine.states.open) == [1, 2]
    of_blocks = zip(*(state.blocks for state in engine.states.open.values()), strict=True)
    caches = [[each["kv cache"] for each in of] for of in of_blocks if "kv cache" in of[0]]
    assert len(caches) == 2  # blocks with attention
    for one, other in caches:
        assert one.earlier is other.earlier
        assert sum(map(len, one.earlier.values)) == 400
        for cache, tail in ((one, 9), (other, 0)):
            assert sum(map(len, cache.values)) == 100 + tail


def test_a_parent_that_ends_after_its_forks_keeps_their_part_only(evo2, many_states):
    stretches, forks = family(400, [100, 250])
    engine = PackedEngine(evo2, ["norm"])
    first, _ = stretch_packs(stretches, 500, 500, forks)
    assert engine.states.tokens_with(Segments(first)) == 250
    engine.run(first)
    cache = engine.states.at_forks[0, 100].blocks[3]["kv cache"]
    assert sum(map(len, cache.values)) == 250
    assert cache is engine.states.at_forks[0, 250].blocks[3]["kv cache"]


def test_memory_of_waiting_states_is_counted(evo2, many_states):
    stretches, forks = family(400, [100, 250, 300, 300])
    engine = PackedEngine(evo2, FEW)
    first, second = stretch_packs(stretches, 500, 500, forks)
    assert engine.states.count_with(Segments(first)) == 3
    engine.run(first)
    assert engine.states.count_with(Segments(second)) == 3
    needed = engine.footprint.bytes(Segments(second)) + 3 * engine.footprint.state
    engine.free = needed + engine.footprint.cache_bytes(300)
    ran, block = [], engine.blocks[0]
    engine.blocks[0] = lambda x, *arguments: (ran.append(len(x)), block(x, *arguments))
    engine.run(second)
    assert ran == [84]
    enough, engine.free = engine.free, 1 << 40
    engine.run(first)
    engine.free = enough - 1
    with pytest.raises(InputError, match="84 tokens need .* KV cache of 300 tokens"):
        engine.run(second)


def test_packs_that_do_not_fit_are_divided(evo2, reference, monkeypatch, caplog):
    stretches, forks = family(700, [1, 100, 349, 350, 351, 700], 3, 300)
    wanted = whole(evo2, stretches, forks, FEW)
    engine = PackedEngine(evo2, FEW)
    last = engine.blocks[-1]

    def tight(x, *arguments):
        if len(x) > 300:
            raise torch.cuda.OutOfMemoryError("out of memory")
        last(x, *arguments)

    engine.blocks[-1] = tight
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    with caplog.at_level(logging.WARNING):
        found = run_stretches(engine, stretches, 2000, 2000, forks)
    assert "700 tokens were too many" in caplog.text
    assert_same(found, wanted, reference.bounds)


def test_a_fork_of_a_fork_is_refused(evo2):
    tokens, ends = random_segments([10])[0], np.array([0, 10])
    engine = PackedEngine(evo2, FEW)
    places = {"offset": np.zeros(1, int), "remaining": np.zeros(1, int)}
    parent = Pack(tokens, ends, stretch=np.array([4]), forks=np.array([[0, 5, 2]]), **places)
    engine.run(parent)
    places = {"stretch": np.array([5]), "offset": np.array([5]), "parent": np.array([4])}
    child = {**places, "remaining": np.array([6])}
    with pytest.raises(ValueError, match="stretch 5: it is a fork, and a fork cannot have forks"):
        engine.run(Pack(tokens, ends, **child, forks=np.array([[0, 15, 1]])))
    # Not in its later segments either.
    engine.run(Pack(tokens, ends, **child))
    later = {"stretch": np.array([5]), "offset": np.array([15]), "remaining": np.zeros(1, int)}
    with pytest.raises(ValueError, match="stretch 5: it is a fork"):
        engine.run(Pack(tokens, ends, **later, forks=np.array([[0, 20, 1]])))
    places["offset"] = np.array([6])
    with pytest.raises(ValueError, match="begins after 6 tokens of stretch 4, whose state there"):
        engine.run(Pack(tokens, ends, **places, remaining=np.zeros(1, int)))


def test_fork_points_in_segments_that_are_not_wanted_are_ignored(evo2):
    tokens = random_segments([60])[0]
    engine = PackedEngine(evo2, FEW)
    wanted, forks = np.array([False, True]), np.array([[0, 20, 1], [1, 10, 1]])
    engine.run(Pack(tokens, np.array([0, 30, 60]), wanted=wanted, forks=forks))
    assert [*engine.states.at_forks] == [(1, 10)]


def test_packs_of_many_forks_give_the_same_as_each_alone(evo2, reference, many_states):
    """Forty forks of ten parents in few packs."""
    stretches, forks = [], []
    for seed in range(10):
        mine, where = family(100 + seed, [5 * seed + 1, 30, 60, 99], 1 + seed, 30, seed)
        forks += [fork and (len(stretches), fork[1]) for fork in where]
        stretches += mine
    packs = [*stretch_packs(stretches, 700, 700, forks)]
    assert len(packs) == -(-sum(map(len, stretches)) // 700)
    found = run_stretches(PackedEngine(evo2, FEW), stretches, 700, 700, forks)
    assert_same(found, whole(evo2, stretches, forks, FEW), reference.bounds)


def test_the_self_check_covers_a_fork_if_there_are_some(evo2, monkeypatch):
    layers = [*FEW, SCORES]
    found = check_engine(PackedEngine(evo2, layers), evo2, layers, "fp32", forks=True)
    assert found["fork"] == check.FORK
    assert all(0 < value < found["tolerance"] for value in found["difference"].values())
    saved = States._before

    def without_history(states, segments, segment):
        state = saved(states, segments, segment)
        if segments.parent[segment] < 0:
            return state
        blocks = [
            {key: x * 0 if isinstance(x, torch.Tensor) else x for key, x in block.items()}
            for block in state.blocks
        ]
        return replace(state, blocks=blocks)

    monkeypatch.setattr(States, "_before", without_history)
    assert "fork" not in check_engine(PackedEngine(evo2, FEW), evo2, FEW, "fp32")
    with pytest.raises(InputError, match=r"layer '.*': on this machine PackedEngine differs from"):
        check_engine(PackedEngine(evo2, FEW), evo2, FEW, "fp32", forks=True)


def test_the_stock_engine_refuses_forks(evo2):
    stretches, forks = family(60, [20])
    stock, said = StockEngine(evo2, FEW), "cannot run alternates .* variants.share: none"
    parent, fork = stretch_packs(stretches, 100, 100, forks)
    for pack in (parent, fork):
        with pytest.raises(InputError, match=said):
            stock.run(pack)
