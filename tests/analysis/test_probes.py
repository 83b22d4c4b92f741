"""Probes find a planted signal and none in noise; a winner is significantly better."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from evo2_embed.analysis.probes.baselines import FEATURES, count_kmers, gc_kmers
from evo2_embed.analysis.probes.folds import make_folds
from evo2_embed.analysis.probes.fusing import find_strands, fused_vectors
from evo2_embed.analysis.probes.memory import probe_mb
from evo2_embed.analysis.probes.metrics import mean_auc, score_classes, score_numbers
from evo2_embed.analysis.probes.probe import cross_validate
from evo2_embed.analysis.probes.winner import beats, interval, judge
from evo2_embed.genomes.fasta import reverse_complement
from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.settings.extraction import Fusion
from layer_files import Standin
from runs import random_bases, write_fasta
from scipy import stats
from test_probe_folds import SECTION, tiled

KEYS = tiled(1, 150, stride=100)
RNG = np.random.default_rng(0)


def probe(values, labels, **changes):
    """Metrics by name: the mean over folds."""
    folds = make_folds(KEYS, labels, replace(SECTION, **{"gap": 100, **changes}))
    results = cross_validate(lambda train: values, labels, folds)
    return {name: np.mean([fold[name] for fold in results]) for name in results[0]}


@pytest.mark.parametrize("width", [8, 600], ids=["narrow", "reduced"])
@pytest.mark.parametrize("kinds", [2, 3])
def test_a_planted_signal_is_found_and_noise_has_none(width, kinds):
    labels = np.array(list("xyz"), object)[RNG.integers(0, kinds, len(KEYS))]
    noise = RNG.normal(size=(len(KEYS), width)).astype(np.float32)
    signal = noise.copy()
    for index, label in enumerate("xyz"[:kinds]):
        signal[:, index::kinds] += 1.5 * (labels == label)[:, None]
    found, missed = probe(signal, labels), probe(noise, labels)
    assert found["roc_auc"] > 0.95
    assert found["balanced_accuracy"] > 0.8
    assert abs(missed["roc_auc"] - 0.5) < 0.12


def test_a_planted_number_is_found_and_noise_has_none():
    noise = RNG.normal(size=(len(KEYS), 8)).astype(np.float32)
    numbers = 100 + 5 * noise[:, 0] + RNG.normal(size=len(KEYS))
    found = probe(noise, numbers)
    assert found["r2"] > 0.9
    assert found["spearman"] > 0.9
    missed = probe(noise, RNG.permutation(numbers))
    assert missed["r2"] < 0.1
    assert abs(missed["spearman"]) < 0.25


def test_a_rare_label_that_inner_folds_cannot_divide_is_allowed():
    labels = np.full(len(KEYS), "x", object)
    labels[[0, 1, -2, -1]] = "y"
    values = (labels == "y")[:, None] + RNG.normal(0, 0.1, (len(KEYS), 2))
    assert probe(values, labels, folds=2)["roc_auc"] > 0.95


def test_metrics_are_those_of_their_definitions():
    labels = np.array(["a", "a", "b", "b"], object)
    scores = np.array([[0.9, 0.1], [0.4, 0.6], [0.7, 0.3], [0.2, 0.8]])
    classes = np.array(["a", "b"], object)
    assert mean_auc(labels, scores, classes) == 3 / 4  # pairs in the right order
    found = score_classes(labels, np.array(["a", "b", "b", "b"], object), scores, classes)
    assert found["balanced_accuracy"] == found["accuracy"] == 0.75
    three = np.column_stack([scores, np.zeros(4)])
    wide = np.array(["a", "b", "c"], object)
    assert mean_auc(labels, three, wide) == 3 / 4  # nothing of c
    assert mean_auc(labels[:2], three[:2], wide) == 0.5
    assert score_numbers(np.array([1.0, 2, 3]), np.array([2.0, 2, 2])) == {"r2": 0, "spearman": 0}


def test_a_winner_is_named_only_if_it_is_significantly_better():
    noise = np.array([0.00, 0.02, -0.01, 0.01, -0.02])
    scores = {
        "low": 0.7 + noise[::-1],
        "best": 0.9 + noise,
        "next": 0.89 - noise,
    }
    verdict = judge(scores, 0.25)
    assert (verdict.best, verdict.winner, verdict.undecided) == ("best", None, ["next"])
    del scores["next"]
    assert judge(scores, 0.25).winner == "best"
    assert not beats(scores["best"], scores["best"], 0.25)  # no difference at all
    assert judge({"only": noise}, 0.25).winner == "only"


def test_the_test_is_that_of_nadeau_and_bengio():
    one, other = RNG.normal(1, 1, 10), RNG.normal(0, 1, 10)
    difference = one - other
    plain = stats.ttest_rel(one, other)
    # With no rows tested for those trained on, it is the paired t-test.
    for shift in (plain.statistic - 1.83, plain.statistic - 1.84):
        moved = one - shift * difference.std(ddof=1) / np.sqrt(10)
        p = stats.ttest_rel(moved, other, alternative="greater").pvalue
        assert beats(moved, other, 0.0) == (p < 0.05)
    low, high = stats.ttest_1samp(one, 0).confidence_interval(0.95)
    found = interval(one, 0.0)
    assert (found["low"], found["high"]) == (pytest.approx(low), pytest.approx(high))
    wider = interval(one, 1 / 9)
    factor = np.sqrt((1 / 10 + 1 / 9) / (1 / 10))
    assert wider["high"] - wider["mean"] == pytest.approx(factor * (high - found["mean"]))


def test_kmers_of_a_short_sequence():
    tokens = np.frombuffer(b"AACGNtA", np.uint8)
    found = count_kmers(tokens)
    assert len(found) == FEATURES == 341
    assert found[0] == 2 / 6
    assert found[1:5].tolist() == [3 / 6, 1 / 6, 1 / 6, 1 / 6]
    pairs = dict.fromkeys(range(16), 0.0) | {0: 1 / 4, 1: 1 / 4, 6: 1 / 4, 12: 1 / 4}
    assert found[5:21].tolist() == list(pairs.values())  # AA, AC, CG, TA; none over the N
    assert found[21:85].sum() == 1
    assert found[21:85].nonzero()[0].tolist() == [1, 6]  # AAC, ACG
    assert found[85:].nonzero()[0].tolist() == [6]  # AACG
    assert not count_kmers(tokens[:1])[5:].any()


def test_kmers_are_those_of_the_row_on_its_strand(tmp_path):
    bases = random_bases(120, 1)
    genomes = [
        [Genome("g", write_fasta(tmp_path / "g.fa", [("a", "ACGT" * 9), ("c", bases.lower())]))],
        [Genome("h", "none.fa"), Genome("i", write_fasta(tmp_path / "i.fa", [("c", bases)]))],
    ]
    rows = [("i", "c", 0, 50, "-"), ("g", "c", 7, 60, "+"), ("g", "a", 0, 4, "+")]
    keys = pl.DataFrame(rows, schema=["genome", "contig", "start", "end", "strand"], orient="row")
    found = gc_kmers(keys, genomes, str(tmp_path / "indexes"))
    tokens = np.frombuffer(bases.encode(), np.uint8)
    wanted = [reverse_complement(tokens[:50]), tokens[7:60], np.frombuffer(b"ACGT", np.uint8)]
    assert np.allclose(found, [count_kmers(row) for row in wanted])


@pytest.mark.parametrize("strands", ["keep", "mean", "concat"])
def test_a_fusion_is_fitted_to_training_rows_and_joins_the_strands_of_a_window(strands):
    keys = tiled(1, 10).with_columns(name=pl.lit(None, pl.String))
    rows = np.array([2, 3, 6, 8])
    found = find_strands(keys, rows)
    assert found.rows.tolist() == [2, 3, 6, 7, 8, 9]
    layer = RNG.normal(size=(20, 3))
    layers = {"one": layer[found.rows], "two": 2 * layer[found.rows]}
    labels = np.array(["x", "y", "x", "y"], object)
    fusion = Fusion(method="concat", strands=strands)
    values = fused_vectors(layers, fusion, labels, found, Standin)(np.array([0, 2]))
    fused = np.hstack([layer, 2 * layer])
    fused = fused - fused[rows[[0, 2]]].mean(axis=0)
    plus, minus = fused[rows // 2 * 2], fused[rows // 2 * 2 + 1]
    wanted = {"keep": fused[rows], "mean": (plus + minus) / 2, "concat": np.hstack([plus, minus])}
    assert np.allclose(values, wanted[strands])


def test_a_row_without_a_partner_is_found():
    keys = tiled(1, 10).with_columns(name=pl.lit(None, pl.String))
    assert find_strands(keys[:-1], np.array([0, 18])) is None
    assert find_strands(keys[:-1], np.array([0, 17])) is not None


def test_memory_grows_with_what_is_read_at_once(complete):
    def mb(layers, fusion, rows=100_000):
        extraction = {"layers": layers, "fusion": fusion}
        return probe_mb(complete(extractions={"default": extraction}).extractions["default"], rows)

    one, two = mb(["norm"], {}), mb(["norm", "blocks.0"], {})
    assert one == two == 2000 + 4 * 100_000 * 128 * 4 // 10**6
    fused = mb(["norm", "blocks.0"], {"all": {"method": "concat"}})
    assert fused - 2000 == 2 * (one - 2000) + 1


def test_among_equal_layers_a_winner_is_rarely_named():
    rng = np.random.default_rng(1)
    named = 0
    for _ in range(500):
        shared = rng.normal(size=5)  # folds differ more than layers
        scores = {name: shared + rng.normal(0, 0.1, 5) for name in ("a", "b", "c")}
        named += judge(scores, 0.25).winner is not None
    assert named / 500 < 0.05
