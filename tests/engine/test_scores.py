"""Log-likelihoods of tokens, against those of the package on each sequence alone."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from evo2_embed.engine.check import check_engine
from evo2_embed.engine.footprint import Footprint
from evo2_embed.engine.packed import PackedEngine
from evo2_embed.engine.stock import StockEngine
from evo2_embed.io.errors import InputError
from evo2_embed.model import registry
from evo2_embed.pack.rows import pad_rows
from evo2_embed.settings.extraction import SCORES
from stock import (
    Reference,
    alone,
    assert_same,
    each_alone,
    make_pack,
    packs_of,
    random_segments,
    run_packs,
    score_alone,
)

BOTH = ["blocks.1", SCORES]


@pytest.fixture(scope="module")
def scored(evo2):
    """A pack, the scores of the package, and the bounds."""
    return Reference(evo2, [SCORES])


@pytest.mark.parametrize("bos", [False, True])
def test_each_segment_is_scored_like_a_call_of_the_package(evo2, scored, bos):
    lengths = [1, 2, 5, 64, 65, 130, 300]
    segments = random_segments(lengths)
    found = PackedEngine(evo2, [SCORES]).run(make_pack(segments, bos))[SCORES]
    bound = float(scored.bounds[SCORES][0]) + 2**-22
    for segment, each in zip(segments, found.split([n + bos for n in lengths]), strict=True):
        bases, each = segment.tobytes().decode(), each.double()
        count = len(bases) - 1 + bos
        assert each[0] == 0
        if not count:
            continue
        for method, value in (("sum", each.sum()), ("mean", each.sum() / count)):
            wanted = score_alone(evo2, bases, method, prepend_bos=bos)
            assert abs(value - wanted) <= bound * (count if method == "sum" else 1), method


@pytest.mark.parametrize("lengths", [1, 64, [100, 1, 2, 250], 300], ids=str)
def test_scores_go_on_where_a_stretch_continues(evo2, scored, lengths):
    tokens = random_segments([450], seed=3)[0]
    if lengths == 1:
        tokens = tokens[:40]
    engine = PackedEngine(evo2, [SCORES])
    found = run_packs(engine, packs_of(tokens, lengths))
    assert not engine.states.open
    assert_same(found, alone(evo2, tokens, [SCORES]), scored.bounds)


def test_a_pack_that_is_divided_has_the_same_scores(evo2, scored):
    engine = PackedEngine(evo2, BOTH)
    engine.most_tokens = 97
    found = engine.run(scored.pack)
    assert_same({SCORES: found[SCORES]}, scored.outputs, scored.bounds)


@pytest.mark.parametrize("tile", [1, 5, 64, 333])
def test_segments_may_lie_across_tiles_of_logits(evo2, scored, tile, monkeypatch):
    engine, rows = PackedEngine(evo2, [SCORES]), []
    engine.footprint = replace(engine.footprint, tile=tile)
    unembed = evo2.model.unembed.forward

    def counted(normed):
        rows.append(len(normed))
        return unembed(normed)

    monkeypatch.setattr(evo2.model.unembed, "forward", counted)
    assert_same(engine.run(scored.pack), scored.outputs, scored.bounds)
    assert max(rows) == min(tile, len(scored.pack.tokens))
    assert sum(rows) == len(scored.pack.tokens)


def test_the_stock_engine_gives_the_same(evo2, scored):
    engine = StockEngine(evo2, BOTH)
    found = engine.run(scored.pack)
    assert_same({SCORES: found[SCORES]}, scored.outputs, scored.bounds)
    widths = np.full(len(scored.pack.lengths), scored.pack.lengths.max())
    tokens, _ = pad_rows(scored.pack.tokens, scored.pack.lengths, widths, 1)
    padded = type(scored.pack)(tokens, scored.pack.cu_seqlens, int(widths[0]))
    # The package lets the mean of a shorter sequence of a batch include a pad; this does not.
    assert_same({SCORES: engine.run(padded)[SCORES]}, scored.outputs, scored.bounds)


def test_the_package_scores_a_pad_in_a_batch_and_this_engine_does_not(evo2, scored):
    segments = random_segments([40, 90])
    short, long = (segment.tobytes().decode() for segment in segments)
    bound = float(scored.bounds[SCORES][0]) + 2**-22
    found = PackedEngine(evo2, [SCORES]).run(make_pack(segments))[SCORES].double()
    mean = float(found[:40].sum()) / 39
    assert abs(mean - score_alone(evo2, short, "mean")) <= bound
    in_batch, _ = score_alone(evo2, [short, long], "mean")
    assert abs(in_batch - mean) > 100 * bound
    # It is off by the pad's own log-likelihood, the fortieth of forty.
    ids = torch.from_numpy(segments[0].astype(np.int64))[None]
    (logits, _), _ = evo2.forward(ids.to(next(evo2.model.parameters()).device))
    pad = float(torch.log_softmax(logits[0, -1].double(), 0)[evo2.tokenizer.pad_id])
    assert abs(in_batch - (39 * mean + pad) / 40) <= bound


def test_the_self_check_covers_scores(evo2):
    engine = PackedEngine(evo2, BOTH)
    found = check_engine(engine, evo2, BOTH, "fp32")
    assert 0 < found["difference"][SCORES] < found["tolerance"]
    run = engine.run

    def run_with_one_wrong_score(pack):
        outputs = run(pack)
        wrong = torch.arange(len(outputs[SCORES]))[:, None] == 20
        outputs[SCORES] = outputs[SCORES] - wrong.to(outputs[SCORES])
        return outputs

    engine.run = run_with_one_wrong_score
    with pytest.raises(InputError, match="layer 'scores': on this machine PackedEngine differs"):
        check_engine(engine, evo2, BOTH, "fp32")


def test_all_blocks_run_for_scores():
    config = registry.model_config(registry.TINY)
    shallow, scored = (Footprint.of_model(config, x, 4, "cpu") for x in (["blocks.1"], BOTH))
    norm = Footprint.of_model(config, ["norm"], 4, "cpu")
    assert scored.attention_blocks == norm.attention_blocks > shallow.attention_blocks
    assert scored.state == norm.state + 4 * config["vocab_size"]


def test_segments_of_a_pack_are_scored_independently(evo2, scored):
    first, second, other = random_segments([50, 60, 50], seed=5)
    engine = PackedEngine(evo2, [SCORES])
    one = engine.run(make_pack([first, second]))[SCORES][50:]
    two = engine.run(make_pack([other, second]))[SCORES][50:]
    wanted = each_alone(evo2, make_pack([second]), [SCORES])
    assert_same({SCORES: one}, {SCORES: two}, scored.bounds)
    assert_same({SCORES: one}, wanted, scored.bounds)
