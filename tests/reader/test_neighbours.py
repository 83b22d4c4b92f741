"""Neighbours: the same as all cosines in float64 give, whatever the query is."""

import evo2_embed
import numpy as np
import polars as pl
import pytest
from evo2_embed.io.errors import InputError
from evo2_embed.reader import embeddings, parts
from made import GENOMES, ROWS, VALUES, write

MEAN = VALUES.astype(np.float64).mean(axis=0)


def ranked(query, centre=MEAN, allowed=None, without=()):
    """All rows, the nearest first, and their cosines."""
    rows, query = VALUES.astype(np.float64) - centre, np.asarray(query, np.float64) - centre
    with np.errstate(invalid="ignore"):  # of a row that is the centre
        cosine = rows @ query / np.linalg.norm(rows, axis=1) / np.linalg.norm(query)
    allowed = range(len(rows)) if allowed is None else allowed
    order = sorted(set(allowed) - set(without), key=lambda row: -cosine[row])
    return order, cosine[order]


def check(found, query, k=10, **options):
    """Check the rows and cosines of neighbours, and that they have the keys of their rows."""
    rows, cosine = ranked(query, **options)
    assert found["row"].to_list() == rows[:k]
    assert np.allclose(found["cosine"], cosine[:k], atol=1e-12)
    keys = list(found.select("genome", "contig", "start", "end", "strand", "name").iter_rows())
    assert keys == [(GENOMES[row], *ROWS[row]) for row in rows[:k]]


def test_neighbours_of_a_row_are_those_of_all_cosines(ds):
    check(ds.neighbours(17), VALUES[17], without=[17])
    check(ds.neighbours(17, k=300), VALUES[17], 300, without=[17])
    check(ds.neighbours(np.int64(17), k=1), VALUES[17], 1, without=[17])


def test_without_centring_the_order_is_another(ds):
    check(ds.neighbours(17, centre=False), VALUES[17], centre=0, without=[17])
    check(ds.neighbours(17, centre=VALUES[3]), VALUES[17], centre=VALUES[3], without=[3, 17])
    raw, centred = (ds.neighbours(17, centre=how)["row"].to_list() for how in (False, True))
    assert raw != centred


def test_a_query_may_be_a_name_a_region_or_a_vector(ds):
    mine = [i for i, row in enumerate(ROWS) if row[4] == "gene3"]
    check(ds.neighbours("gene3"), VALUES[mine].mean(axis=0, dtype=np.float64), without=mine)
    mine = [i for i, row in enumerate(ROWS) if row[0] == "chr2" and row[1] < 50 and row[2] > 40]
    query = VALUES[mine].mean(axis=0, dtype=np.float64)
    for region in ("chr2:41-50", ("chr2", 40, 50)):
        check(ds.neighbours(region), query, without=mine)
    vector = VALUES[:5].mean(axis=0)
    check(ds.neighbours(vector), vector)
    check(ds.neighbours(vector.tolist()), vector)


def test_rows_of_a_query_count_by_their_tokens(tmp_path, short_groups):
    rows = [
        ("c", 0, 9, "+", "a"),
        ("c", 9, 12, "+", "a"),
        *(("d", i, i + 1, "+", None) for i in range(9)),
    ]
    write(tmp_path, values=VALUES[:11], rows=rows, genomes=["g"] * 11)
    ds = evo2_embed.open(tmp_path / "blocks.2")
    mean = np.average(VALUES[:2].astype(np.float64), axis=0, weights=[9, 3])
    same = ds.neighbours(mean, where=pl.col("contig") == "d")
    assert ds.neighbours("a")["row"].to_list() == same["row"].to_list()
    assert np.allclose(ds.neighbours("a")["cosine"], same["cosine"], atol=1e-12)


def test_several_queries_are_answered_in_one_pass(ds):
    for queries in ([3, 17, 40], np.array([3, 17, 40]), VALUES[[3, 17, 40]]):
        found = ds.neighbours(queries, k=4)
        without = [3, 17, 40] if len(np.shape(queries)) == 1 else []
        for number, row in enumerate((3, 17, 40)):
            mine = found.filter(pl.col("query") == number).drop("query")
            check(mine, VALUES[row], 4, without=without)
    named = ds.neighbours(["dna7", "gene3"], k=2)
    assert named["query"].to_list() == [0, 0, 1, 1]


def test_only_rows_of_the_expression_are_found(ds):
    where = (pl.col("strand") == "-") & (pl.col("genome") == "two")
    allowed = [i for i, row in enumerate(ROWS) if (GENOMES[i], row[3]) == ("two", "-")]
    check(ds.neighbours(17, k=100, where=where), VALUES[17], 100, allowed=allowed)
    assert len(ds.neighbours(17, where=pl.lit(False))) == 0
    with pytest.raises(InputError, match="where: no column 'strnd'; did you mean 'strand'"):
        ds.neighbours(17, where=pl.col("strnd") == "+")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_vectors_in_a_file_are_read_instead_of_the_part_files(ds, tmp_path, monkeypatch, dtype):
    vectors = ds.numpy(dtype, out=tmp_path / "vectors.npy")
    monkeypatch.setattr(parts, "ROW_GROUP_BYTES", 200)  # blocks of 10 rows, or of 5
    monkeypatch.setattr(parts.Vectors, "_read", None)
    allowed = [i for i, row in enumerate(ROWS) if row[3] == "-"]
    check(ds.neighbours(17, vectors=vectors), VALUES[17], without=[17])
    found = ds.neighbours(17, where=pl.col("strand") == "-", vectors=vectors)
    check(found, VALUES[17], allowed=allowed, without=[17])


def test_vectors_of_another_dataset_are_refused(ds):
    other = VALUES.copy()
    other[-1] += 1
    for wrong in (other, VALUES[:-1], VALUES[:, :4], VALUES.astype(int)):
        with pytest.raises(InputError, match="vectors: not the 230 x 5 numbers of .*blocks.2.json"):
            ds.neighbours(17, vectors=wrong)


def test_the_mean_is_read_once(ds, monkeypatch):
    assert np.allclose(ds.mean(), MEAN, rtol=1e-12)
    monkeypatch.setattr(embeddings, "mean_vector", None)
    check(ds.neighbours(17), VALUES[17], without=[17])


def test_cosines_that_float32_cannot_tell_apart_are_in_order(tmp_path, short_groups):
    # All rows nearly in one direction, far from the origin: as raw embeddings are.
    rng = np.random.default_rng(3)
    values = (1e3 + 1e-2 * rng.standard_normal((len(ROWS), 5))).astype(np.float32)
    write(tmp_path, values=values)
    ds = evo2_embed.open(tmp_path / "blocks.2")
    exact = values.astype(np.float64)
    cosine = exact @ exact[0] / np.linalg.norm(exact, axis=1) / np.linalg.norm(exact[0])
    assert len(set(cosine.astype(np.float32))) < 3
    found = ds.neighbours(0, k=230, centre=False)
    assert (np.diff(found["cosine"]) <= 0).all()
    assert np.allclose(found["cosine"], np.sort(np.delete(cosine, 0))[::-1], atol=1e-15)


def test_rows_without_direction_are_near_to_nothing(tmp_path, short_groups):
    values = VALUES.copy()
    values[5] = 0
    write(tmp_path, values=values)
    ds = evo2_embed.open(tmp_path / "blocks.2")
    found = ds.neighbours(17, k=300, centre=False)
    assert len(found) == len(ROWS) - 2
    assert 5 not in found["row"]
    with pytest.raises(InputError, match="a vector without direction"):
        ds.neighbours(5, centre=False)


@pytest.mark.parametrize(
    ("query", "said"),
    [
        (np.zeros(4), "an array of 4 numbers; the vectors of .*blocks.2.json have 5"),
        (np.zeros((2, 3)), "an array of 2 x 3 numbers"),
        (np.zeros((1, 1, 5)), "an array of 1 x 1 x 5 numbers"),
        (np.full(5, np.nan), "not finite"),
        (230, "no row 230; it has 230, from 0"),
        ("dna", "no row has the name 'dna'; did you mean 'dna9' or"),
        ("chr2:5000-5001", "no row has bases in this region"),
        ([], "an array of 0 numbers"),
    ],
)
def test_what_is_no_query_is_refused(ds, query, said):
    with pytest.raises(InputError, match=said):
        ds.neighbours(query)


def test_a_centre_has_the_width_and_k_is_positive(ds):
    with pytest.raises(InputError, match="centre: an array of 3 numbers"):
        ds.neighbours(1, centre=np.zeros(3))
    with pytest.raises(InputError, match=r"k: 0 \(allowed: 1 or more\)"):
        ds.neighbours(1, k=0)
