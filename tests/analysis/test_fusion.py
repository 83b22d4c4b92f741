"""Fusion of layers: each method against a few lines of numpy, and its parameters in a file."""

import numpy as np
import pytest
from evo2_embed.analysis.fusion.parameters import fit_fusion
from evo2_embed.analysis.fusion.stored import check_fits, load_fusion, save_fusion
from evo2_embed.io.errors import InputError
from evo2_embed.settings.extraction import Fusion

ROWS = 60
PCA = Fusion(method={"pca": 3})


def settings(method, weights=None):
    return Fusion(method=method, weights=weights)


def numbers(seed, rows=ROWS, width=4, scale=1.0, shift=0.0):
    values = np.random.default_rng(seed).normal(size=(rows, width))
    return (values * scale + shift).astype(np.float32)


@pytest.fixture
def layers():
    """Two layers of one width, one far from 0 and a thousand times larger."""
    return {"a": numbers(1), "b": numbers(2, scale=1000, shift=5e4)}


def standardised(values):
    values = values.astype(np.float64)
    return (values - values.mean(axis=0)) / values.std(axis=0)


def close(found, wanted, atol=1e-5):
    assert found.dtype == np.float32
    assert found.shape == wanted.shape
    np.testing.assert_allclose(found, wanted, rtol=0, atol=atol)


def test_concat_puts_standardised_layers_side_by_side(layers):
    fused = fit_fusion(layers, settings("concat")).apply(layers)
    close(fused, np.hstack([standardised(values) for values in layers.values()]))
    close(fused.mean(axis=0), np.zeros(8))
    close(fused.std(axis=0), np.ones(8))


def test_mean_and_weighted_are_sums_of_standardised_layers(layers):
    a, b = (standardised(values) for values in layers.values())
    close(fit_fusion(layers, settings("mean")).apply(layers), (a + b) / 2)
    weighted = fit_fusion(layers, settings("weighted", [1, 3]))
    close(weighted.apply(layers), 0.25 * a + 0.75 * b)


def test_pca_gives_the_directions_of_most_variance(layers):
    fusion = fit_fusion(layers, PCA)
    values = np.hstack([standardised(values) for values in layers.values()])
    _, lengths, directions = np.linalg.svd(values, full_matrices=False)
    wanted = values @ directions[:3].T
    signs = np.sign((fusion.apply(layers) * wanted).sum(axis=0))
    close(fusion.apply(layers), wanted * signs, atol=1e-4)
    np.testing.assert_allclose(fusion.explained, (lengths**2 / (lengths**2).sum())[:3], atol=1e-6)
    largest = np.abs(fusion.components).argmax(axis=1)
    assert (fusion.components[np.arange(3), largest] > 0).all()


@pytest.mark.parametrize("method", ["concat", "mean", "weighted"])
def test_a_single_layer_is_left_as_it_is(layers, method):
    alone = {"b": layers["b"]}
    fusion = fit_fusion(alone, settings(method, [2] if method == "weighted" else None))
    np.testing.assert_array_equal(fusion.apply(alone), layers["b"])


def test_a_number_that_never_changes_becomes_zero(layers):
    layers["a"][:, 1] = 0.1
    fused = fit_fusion(layers, settings("concat")).apply(layers)
    assert np.isfinite(fused).all()
    close(fused[:, 1], np.zeros(ROWS))


@pytest.mark.parametrize(
    ("rows", "said"), [(4, "4 components"), (1, "1 rows of 8"), (60, "allowed: 1 to 8")]
)
def test_too_many_components_are_refused(rows, said):
    few = {"a": numbers(1, rows), "b": numbers(2, rows)}
    with pytest.raises(InputError, match=said):
        fit_fusion(few, settings({"pca": 9 if rows > 9 else 4}))


@pytest.mark.parametrize("kind", ["classes", "numbers"])
def test_the_probe_gives_more_weight_to_the_layer_that_predicts_the_labels(layers, kind):
    told = layers["b"][:, 0].astype(np.float64)
    labels = told.copy() if kind == "numbers" else np.where(told > 5e4, "x", "y").astype(object)
    labels[::7] = np.nan if kind == "numbers" else None
    weights = fit_fusion(layers, settings("weighted", "probe"), labels).weights
    assert weights.sum() == pytest.approx(1)
    assert weights[1] > 2 * weights[0]


def test_labels_of_one_class_are_refused(layers):
    labels = np.array(["x"] * 5 + [None] * (ROWS - 5), object)
    with pytest.raises(InputError, match="5 rows have a label, with 1 different"):
        fit_fusion(layers, settings("weighted", "probe"), labels)


@pytest.mark.parametrize(
    "wanted", [PCA, settings("mean"), settings("weighted", [1, 3]), settings("concat")]
)
def test_saved_parameters_give_the_same_result_for_other_rows(tmp_path, layers, wanted):
    fusion = fit_fusion(layers, wanted)
    save_fusion(fusion, tmp_path / "a.npz", "")
    again = load_fusion(tmp_path / "a.npz")
    others = {name: values + 1 for name, values in layers.items()}
    np.testing.assert_array_equal(again.apply(others), fusion.apply(others))
    check_fits(again, {"a": 4, "b": 4}, wanted.method, "a.npz")


def test_the_file_does_not_depend_on_the_time(tmp_path, layers, monkeypatch):
    for year, name in ((1.0e9, "one.npz"), (1.7e9, "two.npz")):
        monkeypatch.setattr("time.time", lambda year=year: year)
        save_fusion(fit_fusion(layers, PCA), tmp_path / name, "")
    assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()


@pytest.mark.parametrize(
    ("layers_", "method", "said"),
    [
        ({"a": 4, "b": 4}, "mean", 'other method: {"pca": 3}'),
        ({"b": 4, "a": 4}, {"pca": 3}, r'other layers: \["a", "b"\]'),
        ({"a": 4, "b": 5}, {"pca": 3}, r"other widths: \[4, 4\]"),
    ],
)
def test_parameters_of_something_else_are_refused(layers, layers_, method, said):
    with pytest.raises(InputError, match=said):
        check_fits(fit_fusion(layers, PCA), layers_, method, "a.npz")


@pytest.mark.parametrize("damage", ["text", "cut", "flip", "other", "shape", "missing"])
def test_a_file_without_parameters_is_refused_in_one_line(tmp_path, layers, damage):
    path = tmp_path / "a.npz"
    save_fusion(fit_fusion(layers, PCA), path, "")
    content = bytearray(path.read_bytes())
    if damage == "text":
        path.write_text("no such thing")
    elif damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "flip":
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    elif damage == "other":
        np.savez(path, x=np.zeros(3))
    elif damage == "shape":
        with np.load(path) as file:
            arrays = dict(file)
        np.savez(path, **{**arrays, "components": arrays["components"][:2]})
    else:
        path.unlink()
    with pytest.raises(
        InputError, match="a.npz: not the parameters of a fusion, or damaged"
    ) as error:
        load_fusion(path)
    assert "\n" not in str(error.value)


def test_pca_of_rows_that_are_all_the_same_is_one_line():
    with pytest.raises(InputError, match="all 60 rows are the same.*windows.ambiguous"):
        fit_fusion({"a": np.full((ROWS, 4), 0.25, np.float32)}, PCA)
