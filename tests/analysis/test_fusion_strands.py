"""The + and - rows of the same bases, joined; and datasets read side by side, in small batches."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from evo2_embed.analysis.fusion.fit import fit_layers
from evo2_embed.analysis.fusion.stored import load_fusion, save_fusion
from evo2_embed.dataset.strands import join_strands
from evo2_embed.embed.rows import locate_rows
from evo2_embed.io.errors import InputError
from evo2_embed.io.files import read_json
from evo2_embed.io.parts import Parts
from evo2_embed.settings.extraction import Fusion
from layer_files import fuse, keys_of, many_rows, same_parameters, write_layer

PLAIN = Fusion(method="mean")


def bins_of(windows, size):
    """Rows of windows (start, end) on both strands, in bins, in the order of a dataset."""
    start, end = (np.repeat([w[i] for w in windows], 2) for i in (0, 1))
    strand = np.array(["+", "-"] * len(windows))
    chunks = {"start": start, "end": end, "strand": strand, "parts": Parts.none(len(start))}
    rows = locate_rows(chunks, {"bin": size})
    order = np.lexsort((rows["chunk"], strand[rows["chunk"]], rows["start"]))
    return [
        ("c", int(rows["start"][i]), int(rows["end"][i]), str(strand[rows["chunk"][i]]), None)
        for i in order
    ], rows["chunk"][order]


def joined(rows, how="mean", step=1):
    """Join rows that come `step` at a time; a row's vector is its number, and that plus a half."""
    table, values = keys_of(rows), np.arange(len(rows), dtype=np.float32)[:, None] + [0, 0.5]
    values = values.astype(np.float32)
    batches = (
        (table.slice(first, step), values[first : first + step])
        for first in range(0, len(rows), step)
    )
    found = list(join_strands(batches, how))
    keys = pl.concat([pl.from_arrow(batch.cast(table.schema)) for batch, _ in found])
    return keys, np.concatenate([batch for _, batch in found])


WINDOWS = [
    ("c", 0, 100, "+", None),
    ("c", 0, 100, "-", None),
    ("c", 50, 150, "+", "x"),
    ("c", 50, 150, "+", "y"),
    ("c", 50, 170, "+", None),
    ("c", 50, 150, "-", "y"),
    ("c", 50, 150, "-", "x"),
    ("c", 50, 170, "-", None),
    ("d", 50, 170, "+", None),
    ("d", 50, 170, "-", None),
]
PARTNERS = [(0, 1), (2, 6), (3, 5), (4, 7), (8, 9)]


@pytest.mark.parametrize("step", [1, 3, 100])
def test_partners_are_rows_of_the_same_bases_and_name(step):
    keys, values = joined(WINDOWS, "concat", step)
    assert values.tolist() == [[p, p + 0.5, m, m + 0.5] for p, m in PARTNERS]
    assert keys["strand"].to_list() == ["+"] * 5
    assert keys["name"].to_list() == [None, "x", "y", None, None]
    assert keys["n_tokens"].to_list() == [100, 100, 100, 120, 120]
    assert keys["context"].to_list() == [100, 150, 150, 160, 160]  # the smaller of the strands'
    assert keys["contig"].cast(pl.String).to_list() == ["c"] * 4 + ["d"]
    _, means = joined(WINDOWS, "mean", step)
    assert means.tolist() == [[(p + m) / 2, (p + m) / 2 + 0.5] for p, m in PARTNERS]


@pytest.mark.parametrize("step", [1, 7])
def test_bins_of_overlapping_windows_are_joined_within_their_window(step):
    rows, chunk = bins_of([(0, 40), (20, 60), (40, 70)], 10)
    keys, values = joined(rows, "concat", step)
    assert len(keys) == len(rows) / 2
    plus, minus = values[:, 0].astype(int), values[:, 2].astype(int)
    assert (chunk[plus] // 2 == chunk[minus] // 2).all()
    assert keys.select("start", "end").rows() == [rows[i][1:3] for i in plus]


def test_rows_with_no_partner_are_counted_and_the_first_is_shown():
    rows, _ = bins_of([(0, 40), (40, 65)], 10)
    with pytest.raises(InputError) as error:
        joined(rows)
    assert "6 of 14 rows have no partner" in str(error.value)
    assert "the first is c:40-50 of genome g, strand +" in str(error.value)
    assert "strands: keep" in str(error.value)
    with pytest.raises(InputError, match="1 of 1 rows have no partner.*0-9 'r1'.*strand [+]"):
        joined([("c", 0, 9, "+", "r1")])


@pytest.mark.parametrize("strands", ["keep", "mean", "concat"])
@pytest.mark.parametrize("method", ["concat", {"pca": 4}])
def test_rows_that_come_in_batches_are_fused_as_all_at_once(
    tmp_path, short_groups, method, strands
):
    rng = np.random.default_rng(0)
    layers = {"norm": rng.normal(size=(200, 5)), "blocks.1": rng.normal(size=(200, 12))}
    layers = {name: values.astype(np.float32) for name, values in layers.items()}
    two = {"bundles": ("h", "g")}
    records = [write_layer(tmp_path, name, v, many_rows(200), **two) for name, v in layers.items()]
    assert len(read_json(records[0])["parts"]) > 2
    settings = Fusion(method=method, strands=strands)
    parameters, output = str(tmp_path / "f.npz"), tmp_path / "f.json"
    fusion = fit_layers(records, settings.to_dict(), parameters, None)
    record = fuse(records, settings, parameters, output)
    table = pl.read_parquet(tmp_path / "f" / "*.parquet")
    wanted = fusion.apply(layers)
    if strands == "mean":
        wanted = (wanted[::2] + wanted[1::2]) / 2
    elif strands == "concat":
        wanted = np.hstack([wanted[::2], wanted[1::2]])
    np.testing.assert_allclose(table["embedding"].to_numpy(), wanted, atol=1e-6)
    assert (record["rows"], record["width"]) == wanted.shape
    assert record["layers"] == ["norm", "blocks.1"]
    assert len(record["parts"]) >= 2


def test_parts_of_a_fusion_are_kept_unless_rows_or_parameters_changed(tmp_path):
    values, rows = np.random.default_rng(0).normal(size=(40, 5)).astype(np.float32), many_rows(40)
    parameters, output = tmp_path / "f.npz", tmp_path / "f.json"

    def layer(bundles, mine):
        made = write_layer(tmp_path, "norm", values[: len(mine)], mine, bundles=bundles)
        fit_layers([made], PLAIN.to_dict(), str(parameters), None)
        return [made]

    def written():
        return {path.name: path.stat().st_mtime_ns for path in (tmp_path / "f").iterdir()}

    save = fit_layers(layer(("g",), rows[:20]), PLAIN.to_dict(), str(parameters), None)
    fuse([str(tmp_path / "norm.json")], PLAIN, parameters, output)
    before = written()
    assert list(before) == ["part-00000-g-00000.parquet"]
    records = layer(("g", "h"), rows)  # the second bundle is new
    save_fusion(save, parameters, "of both")
    fuse(records, PLAIN, parameters, output)
    assert {name: written()[name] for name in before} == before
    table = pl.read_parquet(tmp_path / "f" / "*.parquet")
    np.testing.assert_allclose(
        table["embedding"].to_numpy(), save.apply({"norm": values}), atol=1e-6
    )
    save_fusion(replace(save, weights=save.weights * 2), parameters, "of both")
    fuse(records, PLAIN, parameters, output)
    assert written()["part-00000-g-00000.parquet"] != before["part-00000-g-00000.parquet"]


def test_half_precision_is_kept(tmp_path):
    values = np.random.default_rng(0).normal(size=(20, 5)).astype(np.float16)
    records = [write_layer(tmp_path, n, values, many_rows(20), "float16") for n in ("norm", "b")]
    fit_layers(records, PLAIN.to_dict(), str(tmp_path / "f.npz"), None)
    fit_layers(records, PLAIN.to_dict(), str(tmp_path / "g.npz"), str(tmp_path / "f.npz"))
    same_parameters(tmp_path / "g.npz", tmp_path / "f.npz")
    with pytest.raises(InputError, match="g.npz: parameters of other layers"):
        fit_layers(records[:1], PLAIN.to_dict(), str(tmp_path / "h.npz"), str(tmp_path / "g.npz"))
    record = fuse(records, PLAIN, tmp_path / "f.npz", tmp_path / "f.json")
    table = pl.read_parquet(tmp_path / "f" / "*.parquet")
    assert record["dtype"] == "float16"
    assert table.schema["embedding"] == pl.Array(pl.Float16, 5)


def test_what_half_precision_cannot_store_is_refused_with_the_cause(tmp_path):
    values = np.random.default_rng(0).normal(size=(20, 5)).astype(np.float16)
    records = [write_layer(tmp_path, n, values, many_rows(20), "float16") for n in ("norm", "b")]
    fit_layers(records, PLAIN.to_dict(), str(tmp_path / "f.npz"), None)
    fitted = load_fusion(tmp_path / "f.npz")
    save_fusion(replace(fitted, deviations=fitted.deviations * 1e-6), tmp_path / "f.npz", "")
    with pytest.raises(InputError, match="'f': values above 65,504, the most that dtype: float16"):
        fuse(records, PLAIN, tmp_path / "f.npz", tmp_path / "f.json")
    assert not (tmp_path / "f").exists()


@pytest.mark.parametrize("what", ["rows", "keys", "settings"])
def test_layers_that_do_not_belong_together_are_refused(tmp_path, what):
    values, rows = np.ones((20, 5), np.float32), many_rows(20)
    other = rows[:-1] if what == "rows" else rows[:4] + [("d", *rows[4][1:])] + rows[5:]
    other = rows if what == "settings" else other
    changes = {"settings": "y"} if what == "settings" else {}
    records = [
        write_layer(tmp_path, "norm", values, rows),
        write_layer(tmp_path, "blocks.1", values[: len(other)], other, **changes),
    ]
    said = {"rows": "19 against 20", "keys": "row 4: contig is not", "settings": "y against x"}
    with pytest.raises(InputError, match=said[what]):
        fit_layers(records, PLAIN.to_dict(), str(tmp_path / "f.npz"), None)
    assert not (tmp_path / "f.npz").exists()


def test_weights_are_learned_from_rows_that_have_a_label(tmp_path):
    rng = np.random.default_rng(0)
    layers = {"norm": rng.normal(size=(200, 5)), "blocks.1": rng.normal(size=(200, 5))}
    records = [
        write_layer(tmp_path, name, v.astype(np.float32), many_rows(200))
        for name, v in layers.items()
    ]

    def label(keys):
        told = layers["blocks.1"][:, 0] > 0
        labels = np.where(told, "x", "y").astype(object)
        labels[keys["strand"].to_numpy() == "-"] = None
        return labels

    settings = Fusion(method="weighted", weights="probe")
    fusion = fit_layers(records, settings.to_dict(), str(tmp_path / "f.npz"), None, label)
    assert fusion.weights[1] > 2 * fusion.weights[0]
    np.testing.assert_allclose(fusion.means[:5], layers["norm"][::2].mean(axis=0), atol=1e-6)
    with pytest.raises(InputError, match="none of 200 rows has a label"):
        fit_layers(
            records,
            settings.to_dict(),
            str(tmp_path / "f.npz"),
            None,
            lambda keys: np.full(len(keys), None),
        )
