"""Heads, against scikit-learn for saved probes, and against PyTorch for autoencoders."""

import json

import numpy as np
import pytest
import torch
from evo2_embed.analysis.heads import head as head_module
from evo2_embed.analysis.heads.faults import head_faults
from evo2_embed.analysis.heads.files import HeadFile
from evo2_embed.analysis.heads.head import Head
from evo2_embed.analysis.heads.saving import folded
from evo2_embed.analysis.probes.probe import fit_probe
from evo2_embed.io.errors import InputError
from evo2_embed.io.safetensors import write_arrays
from safetensors.numpy import save_file

RNG = np.random.default_rng(3)


def saved(path, arrays, **metadata):
    """A head from arrays that the format's own library wrote."""
    save_file(arrays, path, metadata or None)
    return str(path)


def loaded(path, arrays, **metadata):
    return Head.load(HeadFile.open(saved(path, arrays, **metadata)))


def fitted(width, kinds):
    """A probe of made-up rows far from 0, as embeddings are; its vectors are float32."""
    rows = 150
    vectors = RNG.standard_normal((rows, width)) * RNG.uniform(0.01, 3, width) + 500
    signal = vectors[:, 0] / vectors[:, 0].std() + 0.3 * RNG.standard_normal(rows)
    if kinds is None:
        labels = signal
    else:
        cuts = np.quantile(signal, np.linspace(0, 1, len(kinds) + 1)[1:-1])
        labels = np.array(kinds, object)[np.searchsorted(cuts, signal)]
    vectors = vectors.astype(np.float32)
    return fit_probe(vectors, labels, np.arange(rows) // 5), vectors


@pytest.mark.parametrize("width", [20, 600])  # with and without principal components
@pytest.mark.parametrize("kinds", [("CDS", "background"), ("a", "b", "c")], ids=len)
def test_a_saved_probe_gives_the_probabilities_of_scikit_learn(tmp_path, width, kinds):
    probe, vectors = fitted(width, kinds)
    classes = probe.model.classes_.tolist()
    path = tmp_path / "probe.safetensors"
    write_arrays(path, folded(probe), {"kind": "class", "classes": json.dumps(classes)})
    head = Head.load(HeadFile.open(path))
    assert head.classes == tuple(sorted(kinds))
    found = head.probabilities(vectors)
    # In float32 the steps of scikit-learn round: the mean is thousands of times the deviation.
    for kind, error in ((np.float64, 1e-9), (np.float32, 1e-3)):
        steps = probe.steps.transform(vectors.astype(kind))
        np.testing.assert_allclose(found, probe.model.predict_proba(steps), atol=error)
    chosen = np.array(classes, object)[found.argmax(axis=1)]
    assert (chosen == probe.model.predict(steps)).all()
    assert len(set(chosen)) == len(kinds)


@pytest.mark.parametrize("width", [20, 600])
def test_a_saved_probe_gives_the_numbers_of_scikit_learn(tmp_path, width):
    probe, vectors = fitted(width, None)
    path = tmp_path / "probe.safetensors"
    write_arrays(path, folded(probe), {"kind": "number"})
    head = Head.load(HeadFile.open(path))
    for kind, error in ((np.float64, 1e-9), (np.float32, 1e-3)):
        wanted = probe.model.predict(probe.steps.transform(vectors.astype(kind)))
        assert np.ptp(wanted) > 0.5
        np.testing.assert_allclose(head.linear(vectors)[:, 0], wanted, atol=error)


def autoencoder(dtype=np.float32):
    return {
        "weight": RNG.standard_normal((50, 12)).astype(dtype),
        "bias": RNG.standard_normal(50).astype(dtype),
        "mean": RNG.standard_normal(12).astype(dtype),
        "threshold": RNG.uniform(2, 9, 50).astype(dtype),
    }


def rows_of(counts, features, values):
    ends = np.cumsum(counts)[:-1]
    return zip(np.split(features, ends), np.split(values, ends), strict=True)


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.float64])
@pytest.mark.parametrize("thresholded", [True, False])
def test_the_largest_features_are_those_of_torch(tmp_path, dtype, thresholded):
    arrays = autoencoder(dtype)
    if not thresholded:
        del arrays["threshold"], arrays["mean"]
    vectors = RNG.standard_normal((40, 12)).astype(np.float32)
    head = loaded(tmp_path / "sae.safetensors", arrays)
    counts, features, values = head.features(vectors, 9)
    own = {name: torch.tensor(array).double() for name, array in arrays.items()}
    x = torch.tensor(vectors).double() - own.get("mean", 0)
    f = torch.relu(torch.nn.functional.linear(x, own["weight"], own["bias"]))
    if thresholded:
        f = f * (f > own["threshold"])
    wanted = torch.topk(f, 9)
    assert (counts == (f > 0).sum(dim=1).clamp(max=9).numpy()).all()
    if thresholded:
        assert len(set(counts.tolist())) > 1  # some rows have fewer
    for row, (names, mine) in enumerate(rows_of(counts, features, values)):
        top = wanted.indices[row, : len(names)].numpy()
        np.testing.assert_array_equal(names, top)
        np.testing.assert_allclose(mine, wanted.values[row, : len(names)], rtol=2e-5, atol=2e-5)


def test_of_equal_features_the_first_are_kept_and_a_threshold_may_be_one_number(tmp_path):
    arrays = {
        "weight": np.ones((6, 1), np.float32),
        "bias": np.array([1, 3, 2, 2, 2, 0], np.float32),
        "threshold": np.array(1.5, np.float32),
    }
    head = loaded(tmp_path / "sae.safetensors", arrays)
    counts, features, values = head.features(np.zeros((2, 1), np.float32), 3)
    assert (counts.tolist(), features.tolist()) == ([3, 3], [1, 2, 3] * 2)
    assert values.tolist() == [3, 2, 2] * 2
    counts, features, _ = head.with_threshold(2).features(np.zeros((1, 1), np.float32), 3)
    assert (counts.tolist(), features.tolist()) == ([1], [1])
    counts, features, _ = head.features(np.full((1, 1), -9, np.float32), 3)
    assert (counts.tolist(), features.tolist()) == ([0], [])


def test_large_heads_take_few_rows_at_once(monkeypatch):
    head = Head(np.zeros((32_768, 4), np.float32), np.zeros(32_768, np.float32))
    assert head.rows_at_once == 122
    monkeypatch.setattr(head_module, "_BLOCK_NUMBERS", 10)
    assert head.rows_at_once == 1


GOOD = {"weight": np.zeros((2, 4), np.float32), "bias": np.zeros(2, np.float32)}


@pytest.mark.parametrize(
    ("arrays", "metadata", "said"),
    [
        ({"weight": GOOD["weight"]}, {}, "no array 'bias' (there: weight)"),
        ({"W": GOOD["weight"]}, {}, "no array 'weight' (there: W)"),
        ({**GOOD, "weight": np.zeros(4, np.float32)}, {}, "(allowed: [outputs, width])"),
        ({**GOOD, "bias": np.zeros(4, np.float32)}, {}, "'bias' of shape [4] beside a weight"),
        ({**GOOD, "mean": np.zeros(2, np.float32)}, {}, "'mean' of shape [2]"),
        ({**GOOD, "threshold": np.zeros(4, np.float32)}, {}, "(allowed: [2] or [1] or [])"),
        (GOOD, {"kind": "cat"}, "kind 'cat' (allowed: class, number)"),
        (GOOD, {"classes": '["a", "a"]'}, "class 'a' is named twice"),
        (GOOD, {"classes": '["a", "b", "c"]'}, "3 classes for 2 outputs"),
        (GOOD, {"kind": "class"}, "0 classes for 2 outputs"),
        (GOOD, {"classes": "a, b"}, "(allowed: a JSON list of texts"),
    ],
)
def test_files_that_are_no_head_are_refused(tmp_path, arrays, metadata, said):
    path = saved(tmp_path / "x.safetensors", arrays, **metadata)
    with pytest.raises(InputError) as error:
        HeadFile.open(path)
    assert said in str(error.value)
    assert path in str(error.value)


def test_numbers_that_are_not_finite_are_named(tmp_path):
    weight = GOOD["weight"].copy()
    weight[1, 2] = np.nan
    with pytest.raises(InputError, match=r"'weight': 1 of 8 numbers .* the first is at \[1, 2\]"):
        loaded(tmp_path / "x.safetensors", {**GOOD, "weight": weight})


def test_a_head_that_does_not_fit_is_refused_before_the_run(complete, tmp_path):
    fit = {"weight": np.zeros((30, 128), np.float32), "bias": np.zeros(30, np.float32)}
    classes = {"classes": json.dumps([f"c{i}" for i in range(30)])}
    saved(tmp_path / "fit", fit)
    saved(tmp_path / "other", fit, layer="blocks.1")
    many = {name: np.zeros((101, *array.shape[1:]), np.float32) for name, array in fit.items()}
    saved(tmp_path / "many", many)
    saved(tmp_path / "model", fit, model="evo2_7b")
    saved(tmp_path / "classes", fit, **classes)
    saved(tmp_path / "narrow", GOOD)
    saved(tmp_path / "limit", {**fit, "threshold": np.zeros(1, np.float32)})
    (tmp_path / "text").write_text("no arrays here")
    (tmp_path / "results/probes/default").mkdir(parents=True)
    saved(tmp_path / "results/probes/default/norm.safetensors", fit)
    cases = {
        "good": ({"layer": "norm", "file": "fit", "k": 30}, None),
        "dense": ({"layer": "wide", "file": "fit"}, None),
        "limited": ({"layer": "norm", "file": "limit", "k": 2, "threshold": 0.5}, None),
        "a": ({"layer": "norm", "file": "other"}, "for layer 'blocks.1', and applied to 'norm'"),
        "b": ({"layer": "norm", "file": "model"}, "for model 'evo2_7b', and applied to 'evo2_t"),
        "c": ({"layer": "norm", "file": "narrow"}, "reads vectors of 4 dimensions, and norm has 1"),
        "d": ({"layer": "both", "file": "fit"}, "128 dimensions, and both has 256"),
        "e": ({"layer": "norm", "file": "fit", "k": 31}, "k: 31 is more than the features of fit"),
        "f": ({"layer": "norm", "file": "classes", "k": 2}, "k: classes has classes"),
        "g": ({"layer": "norm", "file": "limit"}, "its array 'threshold' is for sparse heads"),
        "h": ({"layer": "norm", "file": "fit", "threshold": 1}, "threshold is for sparse heads"),
        "i": ({"layer": "norm", "file": "gone"}, "gone: no such file"),
        "j": ({"layer": "norm", "file": "text"}, "text: not a safetensors file"),
        "k": ({"layer": "blocks.3", "file": "fit"}, "(allowed: blocks.2, norm, both, wide)"),
        "l": ({"layer": "norm"}, "there is no probe of this run"),
        "drawn": ({"layer": "norm", "file": "fit", "k": 2, "tracks": [0, 29]}, None),
        "o": ({"layer": "norm", "file": "fit", "tracks": [30]}, "'30' is not an output of fit"),
        "p": ({"layer": "norm", "file": "classes", "tracks": ["c1", "x"]}, "'x' is not an output"),
        "q": ({"layer": "norm", "file": "many"}, "has 101 outputs; more than 100 have"),
        "m": ({"layer": "norm", "k": 3}, "k: is for sparse autoencoders"),
        "wide": ({"layer": "norm", "file": "fit"}, "the name 'wide' is a fusion's"),
        "norm": ({"layer": "norm", "file": "fit"}, "the name 'norm' is a layer's"),
        "scores": ({"layer": "norm", "file": "fit"}, "the name 'scores' is the scores'"),
        "n": (
            {"layer": "norm", "file": "results/probes/default/norm.safetensors"},
            "this run would overwrite",
        ),
    }
    fusion = {"wide": {"method": "mean"}, "both": {"method": "concat"}}
    for name, (head, said) in cases.items():
        extraction = {"layers": ["blocks.2", "norm"], "fusion": fusion, "heads": {name: head}}
        try:
            complete(extractions={"default": extraction}, export="bigwig")
        except InputError as error:
            lines = str(error).split("\n")
            assert said is not None, lines
            assert any(f"heads.{name}: " in line and said in line for line in lines), lines
        else:
            assert said is None, name


def test_faults_of_heads_are_found_without_reading_their_numbers(complete, tmp_path, monkeypatch):
    fit = {"weight": np.full((3, 128), np.nan, np.float32), "bias": np.zeros(3, np.float32)}
    saved(tmp_path / "fit", fit)
    monkeypatch.setattr("evo2_embed.io.safetensors.ArrayFile.read", None)
    heads = {"any": {"layer": "norm", "file": "fit"}}
    settings = complete(extractions={"default": {"layers": ["norm"], "heads": heads}})
    assert head_faults("here", settings.extractions["default"], settings) == []
