"""The dataset of variants from rows of both alleles, which may come far apart."""

import numpy as np
import pyarrow as pa
import pytest
from evo2_embed.dataset.alleles import _differences, _pairs, alleles_schema
from evo2_embed.dataset.side_by_side import side_by_side
from evo2_embed.io.errors import InputError
from evo2_embed.io.tables import LABEL, vectors

RNG = np.random.default_rng(0)
VECTORS = {
    (variant, strand, allele): RNG.normal(size=(2, 3)).astype(np.float32)
    for variant in ("c:1:5:A:C", "c:1:9:GT:G", "c:1:9:G:T")
    for strand in "+-"
    for allele in ("ref", "alt")
}
# How much more likely the alternate is on a strand.
SUMS = {(variant, strand): RNG.normal() for variant, strand, _ in VECTORS}


def table_of(keys):
    variant, strand, allele = zip(*keys, strict=True)
    n = len(keys)
    whole, downstream = np.stack([VECTORS[key] for key in keys], axis=1)
    return pa.table(
        {
            "genome": pa.array(["g"] * n).cast(LABEL),
            "contig": pa.array(["c:1"] * n).cast(LABEL),
            "variant": pa.array(variant),
            "id": pa.array([None] * n, pa.string()),
            "strand": pa.array(strand),
            "allele": pa.array(allele),
            "embedding": vectors(whole),
            "embedding_downstream": vectors(downstream),
            "sum": pa.array([SUMS[key[:2]] if key[2] == "alt" else 0.0 for key in keys]),
            "sum_downstream": pa.array([-2.0 if v == "alt" else -3.5 for v in allele]),
        }
    )


def all_pairs(keys, size, strands="keep", schema=None):
    tables = [table_of(keys[i : i + size]) for i in range(0, len(keys), size)]
    schema = schema or alleles_schema(3, scores=True)
    return pa.concat_tables(
        _differences(alleles, schema) for alleles in _pairs(iter(tables), "norm", strands)
    ).unify_dictionaries()


@pytest.mark.parametrize("order", [1, -1])
@pytest.mark.parametrize("size", [1, 2, 5, 12])
def test_alleles_are_paired_wherever_they_come(size, order):
    keys = list(VECTORS)[::order]
    keys = [*keys[::2], *keys[1::2][::-1]]  # all of one allele first, the others backwards
    found = all_pairs(keys, size)
    assert found.equals(all_pairs(keys, 12))
    assert sorted(zip(found["variant"].to_pylist(), found["strand"].to_pylist(), strict=True)) == (
        sorted({key[:2] for key in VECTORS})
    )
    for row in found.to_pylist():
        assert (row["contig"], row["variant"]) == (
            "c:1",
            f"c:1:{row['position']}:{row['ref']}:{row['alt']}",
        )
        pair = (VECTORS[row["variant"], row["strand"], allele] for allele in ("ref", "alt"))
        for part, ref, alt in zip(("", "_downstream"), *pair, strict=True):
            np.testing.assert_allclose(row[f"delta{part}"], alt - ref, rtol=1e-6)
            assert row[f"euclidean{part}"] == pytest.approx(np.sqrt(((alt - ref) ** 2).sum()))
            cosine = ref @ alt / np.sqrt((ref @ ref) * (alt @ alt))
            assert row[f"cosine{part}"] == pytest.approx(cosine, rel=1e-5)
        assert (row["llr"], row["llr_downstream"]) == (SUMS[row["variant"], row["strand"]], 1.5)


@pytest.mark.parametrize("size", [1, 5, 12])
def test_both_strands_of_a_variant_are_one_row_of_their_means(size):
    keys = list(VECTORS)
    found = all_pairs([*keys[::2], *keys[1::2][::-1]], size, "mean")
    assert sorted(found["variant"].to_pylist()) == sorted({variant for variant, _, _ in keys})
    assert set(found["strand"].to_pylist()) == {"+"}
    for row in found.to_pylist():
        ref, alt = (
            (VECTORS[row["variant"], "+", allele] + VECTORS[row["variant"], "-", allele]) / 2
            for allele in ("ref", "alt")
        )
        for which, part in enumerate(("", "_downstream")):
            one, other = ref[which], alt[which]
            np.testing.assert_allclose(row[f"delta{part}"], other - one, rtol=1e-5, atol=1e-6)
            distance = np.sqrt(((other - one) ** 2).sum())
            assert row[f"euclidean{part}"] == pytest.approx(distance, rel=1e-5)
            cosine = one @ other / np.sqrt((one @ one) * (other @ other))
            assert row[f"cosine{part}"] == pytest.approx(cosine, rel=1e-5)
        plus, minus = (SUMS[row["variant"], strand] for strand in "+-")
        assert row["llr"] == pytest.approx((plus + minus) / 2)
        assert row["llr_downstream"] == 1.5


def test_scores_alone_have_likelihood_ratios_only():
    schema = alleles_schema(None, scores=True)
    keys = ["variant", "id", "genome", "contig", "position", "ref", "alt", "strand"]
    assert schema.names == [*keys, "llr", "llr_downstream"]
    found, whole = (all_pairs(list(VECTORS), 5, schema=each) for each in (schema, None))
    assert found.equals(whole.select(schema.names))


@pytest.mark.parametrize("without", [("-", "ref"), ("-", "alt")])
def test_a_strand_without_the_other_is_refused_where_strands_are_joined(without):
    keys = [key for key in VECTORS if key != ("c:1:9:G:T", *without)]
    said = "layer 'norm': 3 rows .* of the other allele or strand; the first is c:1:9:G:T, strand +"
    with pytest.raises(InputError, match=said):
        all_pairs(keys, 4, "mean")
    keys = [key for key in keys if key[:2] != ("c:1:9:G:T", "-")]
    assert len(all_pairs(keys, 4)) == 5


def test_an_embedding_of_zero_has_no_cosine(monkeypatch):
    keys = [("c:1:5:A:C", "+", allele) for allele in ("ref", "alt")]
    monkeypatch.setitem(VECTORS, keys[0], np.zeros((2, 3), np.float32))
    (row,) = all_pairs(keys, 2).to_pylist()
    assert row["cosine"] is None
    assert row["euclidean"] > 0


def test_an_allele_without_the_other_is_refused():
    with pytest.raises(InputError, match="1 rows .* no row of the other allele; .* c:1:9:G:T"):
        all_pairs(list(VECTORS)[:-1], 4)


def test_tables_of_other_groups_are_read_side_by_side():
    one = iter([pa.table({"a": [1, 2, 3]}), pa.table({"a": []}), pa.table({"a": [4]})])
    other = iter([pa.table({"b": [1, 2]}), pa.table({"b": [3, 4]})])
    found = [[t.column(0).to_pylist() for t in both] for both in side_by_side([one, other])]
    assert found == [[[1, 2], [1, 2]], [[3], [3]], [[4], [4]]]
