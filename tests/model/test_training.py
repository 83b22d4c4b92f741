"""How evo2_tiny is trained: what it may see, what comes out, and what it is compared with."""

import itertools
import re

import corpus as corpora
import numpy as np
import pytest
import torch
import train_evo2_tiny as training
from corpus import Contig, Corpus, draw_windows, read_fasta, reverse_complement
from evo2_embed.model import registry
from evo2_embed.model.loading import load_model
from markov import markov_bits, markov_counts

RNG = np.random.default_rng(0)
LOG = corpora.HERE / "train.log"


def random_tokens(length):
    return RNG.choice(corpora.BASES, length)


def test_windows_are_of_either_strand_and_touch_nothing_that_is_held_out():
    tokens = random_tokens(3000)
    kept = np.ones(3000, bool)
    kept[1000:1400] = False
    corpus = Corpus([Contig("one", tokens, kept, 1.0)], {})
    forward, backward = tokens.tobytes(), reverse_complement(tokens).tobytes()
    strands = set()
    for window in draw_windows(corpus, 60, 200, np.random.default_rng(1)):
        at = forward.find(window.tobytes())
        strands.add(at >= 0)
        if at < 0:
            at = 3000 - 200 - backward.index(window.tobytes())
        assert kept[at : at + 200].all()
    assert strands == {True, False}


def test_stretches_that_lambda_has_too_are_left_out_on_both_strands():
    lambda_ = random_tokens(500)
    shared = lambda_[100:140]
    foreign = corpora.kmers(lambda_, corpora.SHARED_BASES)
    for insert in (shared, reverse_complement(shared)):
        tokens = np.concatenate([random_tokens(4000), insert, random_tokens(4000)])
        near = corpora._near_shared(tokens, foreign)
        margin = corpora.MARGIN
        assert near[4000 - margin : 4040 + margin].all()
        assert not near[: 4000 - margin - 5].any()
        assert not near[4040 + margin + 5 :].any()


def test_markov_counts_are_those_of_both_strands_without_what_is_held_out():
    tokens = random_tokens(400)
    kept = np.arange(400) < 300
    counts = markov_counts([Contig("one", tokens, kept, 1.0)], 2)
    text, wanted = tokens[:300].tobytes().decode(), {}
    for strand in (text, text.translate(str.maketrans("ACGT", "TGCA"))[::-1]):
        for start in range(298):
            wanted[strand[start : start + 3]] = wanted.get(strand[start : start + 3], 0) + 1
    words = map("".join, itertools.product("ACGT", repeat=3))
    found = dict(zip(words, counts.reshape(-1) - 1, strict=True))
    assert {word: count for word, count in found.items() if count > 0.5} == pytest.approx(wanted)
    # A sequence in which every word says what follows costs nothing, once that has been seen.
    repeat = np.frombuffer(b"ACGT" * 500, np.uint8)
    always = markov_counts([Contig("two", repeat, np.ones(2000, bool), 1.0)], 5)
    assert markov_bits(always, repeat) < 0.05


def test_training_lowers_the_loss_and_a_checkpoint_keeps_it(tmp_path, monkeypatch):
    monkeypatch.setattr(training, "BATCH", 4)
    monkeypatch.setattr(training, "LENGTH", 96)
    torch.set_num_threads(1)
    tokens = np.tile(random_tokens(40), 50)
    corpus = Corpus([Contig("one", tokens, np.ones(2000, bool), 1.0)], {})
    model = training.make_model(seed=1)
    before = training.held_out_bits(model, tokens, 96)
    training.train(model, corpus, 12, print)
    after = training.held_out_bits(model, tokens, 96)
    assert after < 0.6 * before
    torch.save(training.checkpoint_state(model), tmp_path / "weights.pt")
    loaded = load_model(registry.TINY, tmp_path / "weights.pt", "fp32").model
    # But for the rounding of the weights to bfloat16: rows of Wqkv in another order would show.
    assert training.held_out_bits(loaded, tokens, 96) == pytest.approx(after, rel=0.01)


def test_the_bundled_weights_have_the_loss_that_training_ended_with():
    torch.set_num_threads(1)
    said = float(re.search(r"held out, lambda, as loaded: (\S+)", LOG.read_text())[1])
    model = load_model(registry.TINY, registry.bundled_checkpoint(), "fp32").model
    found = training.held_out_bits(model, read_fasta(corpora.LAMBDA)[0])
    assert found == pytest.approx(said, abs=2e-4)
