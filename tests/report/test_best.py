"""The best layer of an extraction, and why."""

from pathlib import Path

import pytest
from evo2_embed.report.best import best_layer
from evo2_embed.report.summary import Result

NAMES = ["first", "deep", "norm"]


def result(names, model="evo2_tiny"):
    manifest = {"model": model, "layers": dict.fromkeys(names, {}), "fusions": {}}
    return Result("default", Path("results/embeddings/default"), manifest, [])


def compared(ranks, alike=()):
    layers = {name: {"effective_rank": r, "alike": name in alike} for name, r in ranks.items()}
    return {"layers": layers}


def probed(best, undecided=(), beats=True, **means):
    scores = {name: {"mean": mean} for name, mean in means.items()}
    scores |= dict.fromkeys(("gc_kmers", "shuffled_labels"), {"mean": 0.5})
    return {
        "best": best,
        "undecided": list(undecided),
        "winner": None if undecided else best,
        "beats_gc_kmers": beats,
        "scores": scores,
        "metric": "roc_auc",
        "labels": None,
    }


MEANS = {"first": 0.9, "deep": 0.8, "norm": 0.95}


@pytest.mark.parametrize(
    ("ranks", "alike", "probe", "layer", "said"),
    [
        # With labels.
        (None, (), probed("norm", **MEANS), "norm", "norm is significantly better than all other"),
        (None, (), probed("norm", ["first"], **MEANS), "norm", "is not significantly better than"),
        (None, (), probed("norm", beats=False, **MEANS), "norm", "better than GC and k-mer counts"),
        # Without labels.
        ({"first": 2.0, "deep": 9.0, "norm": 5.0}, (), None, "deep", "of all layers (9.0)."),
        ({"first": 2.0, "deep": 9.0, "norm": 5.0}, ("deep",), None, "norm", "rows differ (5.0)"),
        ({"first": 2.0, "deep": None, "norm": 5.0}, NAMES, None, "norm", "This is a guess"),
    ],
)
def test_labels_choose_the_best_layer_and_without_labels_the_rank_does(
    ranks, alike, probe, layer, said
):
    best = best_layer(result(NAMES), ranks and compared(ranks, alike), probe)
    assert best.layer == layer
    assert said in best.why
    assert best.why.startswith(layer)


def test_the_best_by_labels_is_named_also_if_its_rows_are_alike():
    measures = compared({"first": 2.0, "deep": 9.0, "norm": 5.0}, alike=["norm"])
    best = best_layer(result(NAMES), measures, probed("norm", ["deep", "first"], **MEANS))
    assert best.layer == "norm"
    assert best.why.endswith("Its rows are alike: subtract the mean before comparing cosines.")
    best = best_layer(result(NAMES), measures, probed("deep", **MEANS))
    assert "alike" not in best.why


def test_layers_that_were_not_compared_are_chosen_by_their_name():
    seven = result(["blocks.1", "blocks.28.mlp.l3", "blocks.26"], "evo2_7b")
    best = best_layer(seven, None, None)
    assert best.layer == "blocks.28.mlp.l3"
    assert "recommended for embeddings in general" in best.why
    assert best_layer(result(NAMES), None, None).why.startswith("first is the first layer")
    assert best_layer(result(["deep"]), None, None).why == "deep is the only layer."
    assert best_layer(result([]), None, None) is None
