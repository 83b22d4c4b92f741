"""The rows that the page draws: which, with what columns, colours and numbers."""

import json

import numpy as np
import polars as pl
import pytest
from evo2_embed.report import drawn_rows, encode
from evo2_embed.report.colours import GREY
from evo2_embed.report.embeddings import DrawnEmbeddings, _points, embeddings
from page_numbers import decode, decode_column

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("largest", [0, 255, 256, 65_535, 65_536, 4_000_000_000])
def test_whole_numbers_come_back_exactly_in_the_smallest_type(largest):
    encoded = encode.integers([0, largest, largest // 2])
    assert decode(encoded).tolist() == [0, largest, largest // 2]
    size = 8 if largest < 256 else 16 if largest < 65_536 else 32
    assert encoded["type"] == f"Uint{size}Array"


@pytest.mark.parametrize("values", [[None, None], [3.5], [0.25, None, 0.75, float("nan")], []])
def test_decimal_numbers_come_back_and_none_has_no_value(values):
    found = decode(encode.decimals(values))
    wanted = np.array(values, np.float64)
    assert np.allclose(found, wanted, atol=1e-5, equal_nan=True)
    json.dumps(encode.decimals(values), allow_nan=False)


def test_decimal_numbers_are_within_half_a_step_of_65534():
    values = RNG.normal(1e6, 40, 5000)
    found = decode(encode.decimals(values))
    assert np.abs(found - values).max() <= 0.51 * np.ptp(values) / 65_534


def keys_of(**columns):
    rows = max(len(value) for value in columns.values() if isinstance(value, list))
    base = {"genome": "g", "contig": "c", "start": 0, "end": 9, "strand": "+", "name": None}
    frame = {k: v if isinstance(v, list) else [v] * rows for k, v in {**base, **columns}.items()}
    return pl.DataFrame(frame, schema_overrides={"name": pl.String})


class Rows:
    """A dataset that knows its windows only."""

    def __init__(self, windows, strands):
        self.rows, self.strands = windows * len(strands), strands

    def take(self, rows):
        n = len(self.strands)
        strands = [self.strands[row % n] for row in rows]
        keys = keys_of(start=(rows // n).tolist(), end=(rows // n + 1).tolist(), strand=strands)
        return keys.to_arrow()


def test_thinned_rows_have_both_strands_of_each_window():
    chosen = drawn_rows.choose_rows(Rows(2000, "+-"), 200)
    assert len(chosen) == 200
    assert (chosen[::2] % 2 == 0).all()
    assert (np.diff(chosen)[::2] == 1).all()
    assert chosen[0] == 0
    assert chosen[-1] == 3999
    one = drawn_rows.choose_rows(Rows(2000, "+"), 200)
    assert np.ptp(np.diff(one)) <= 1
    assert drawn_rows.choose_rows(Rows(3, "+-"), 200).tolist() == list(range(6))


def test_the_menu_has_columns_that_tell_rows_apart():
    keys = keys_of(genome=["g", "h"], strand=["+", "-"], start=[0, 5], name=["a", None])
    sheet = {"host": {"g": "cow", "h": None}, "year": {"g": 1999, "h": 2001}}
    label = np.array([None, "CDS"], object)
    columns = drawn_rows.row_columns(keys, lambda _: label, sheet, {"GC": ([0.5, None], ".0%")})
    rows = drawn_rows.encoded_rows(keys, columns)
    assert rows["menu"] == [
        *("label", "genome", "contig", "name", "strand", "GC", "position"),
        *("sheet host", "sheet year"),
    ]
    read = {title: decode_column(rows["columns"][title]) for title in ("label", "sheet host")}
    assert read == {"label": [None, "CDS"], "sheet host": ["cow", None]}
    assert np.allclose(decode_column(rows["columns"]["GC"]), [0.5, np.nan], equal_nan=True)
    assert decode_column(rows["columns"]["sheet year"]).tolist() == [1999, 2001]
    assert rows["contigs"] == [("g", "c"), ("h", "c")]
    alike = keys_of(start=[0, 5], name=["a", "b"])
    few = drawn_rows.encoded_rows(alike, drawn_rows.row_columns(alike, None, {}, {}))
    assert few["menu"] == ["name", "position"]
    many = keys_of(name=[str(i) for i in range(drawn_rows.FEW + 1)])
    many = drawn_rows.encoded_rows(many, drawn_rows.row_columns(many, None, {}, {}))
    assert many["menu"] == ["position"]
    assert "name" in many["columns"]  # for the search


def test_labels_that_are_numbers_are_a_column_of_numbers():
    keys = keys_of(start=[0, 5])
    columns = drawn_rows.row_columns(keys, lambda _: np.array([1.5, np.nan]), {}, {})
    assert columns["label"].format is not None
    without = drawn_rows.row_columns(keys, lambda _: np.array([None, None], object), {}, {})
    assert "label" not in without


def test_long_names_are_whole_and_cut_ones_stay_apart():
    long = [f"NODE_{'1' * 200}_length_{i}" for i in (100, 200)]
    cut = [f"{'x' * 5000}{i}{'y' * 5000}" for i in range(2)]
    keys = keys_of(contig=long + cut)
    rows = drawn_rows.encoded_rows(keys, drawn_rows.row_columns(keys, None, {}, {}))
    assert [name for _, name in rows["contigs"][:2]] == long
    assert decode(rows["contig"]).tolist() == [0, 1, 2, 3]


def test_names_of_contigs_and_labels_are_shown_escaped_and_cut():
    name = "right\u202eleft" + "x" * 1_000_000
    keys = keys_of(contig=[name, "b"], name=[name, None])
    columns = drawn_rows.row_columns(
        keys, lambda _: np.array([name, None], object), {name: {"g": name}}, {}
    )
    rows = drawn_rows.encoded_rows(keys, columns)
    assert len(json.dumps(rows)) < 5000
    assert "\u202e" not in json.dumps(rows, ensure_ascii=False)
    assert rows["contigs"][0][1].startswith(r"right\u202eleftxxx")


def test_a_name_has_one_colour_on_the_whole_page_and_background_is_grey():
    tables = [{"label": drawn_rows.Column(list(names))} for names in ("abbbc", "ca")]
    colours = drawn_rows.column_colours(tables)["label"]
    assert list(colours) == ["a", "b", "c"]
    assert len(set(colours.values())) == 3
    other = drawn_rows.column_colours([{"label": drawn_rows.Column(["background", "a"])}])
    assert other["label"]["background"] == GREY


def drawn(vectors):
    keys = keys_of(start=list(range(len(vectors))))
    columns = drawn_rows.row_columns(keys, None, {}, {})
    points = _points(vectors.astype(np.float32), umap=False)
    dataset = {"table": 0, "total": 9999, "width": vectors.shape[1], **points}
    return DrawnEmbeddings([(keys, columns)], {"norm": dataset})


def test_the_page_has_the_points_and_the_nearest_neighbours_of_each():
    vectors = RNG.normal(size=(40, 16)) * ([9] + [1] * 15)
    (found,) = drawn(vectors).datasets.values()
    assert found["nearest"] == 10
    near = decode(found["neighbours"]).reshape(40, 10)
    centred = vectors - vectors.mean(axis=0)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    cosines = centred @ centred.T
    np.fill_diagonal(cosines, -2)
    assert np.array_equal(near, np.argsort(-cosines, axis=1)[:, :10])
    read = decode(found["cosines"]).reshape(40, 10)
    assert np.allclose(read, np.sort(cosines, axis=1)[:, :-11:-1], atol=1e-4)
    first = decode(found["pcs"][0])
    assert abs(np.corrcoef(first, vectors[:, 0])[0, 1]) > 0.99


def test_rows_without_a_projection_still_have_a_list_and_a_track():
    page = embeddings(drawn(np.ones((5, 4))), {})
    assert "No projection of norm: it needs two different rows and two dimensions." in page
    assert "name=find" in page


@pytest.mark.parametrize("rows", [2000, 50_000])
def test_a_dataset_takes_at_most_68_bytes_per_row_of_the_page(rows):
    table = drawn(np.zeros((2, 2)))
    numbers = RNG.normal(size=(5, rows))
    points = {
        "pcs": [encode.decimals(row) for row in numbers[:3]],
        "umap": [encode.decimals(row) for row in numbers[3:]],
        "neighbours": encode.integers(RNG.integers(0, rows, 10 * rows)),
        "cosines": encode.decimals(RNG.random(10 * rows)),
    }
    table.datasets["norm"] |= points
    assert len(embeddings(table, {})) < 68 * rows + 4000
