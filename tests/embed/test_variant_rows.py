"""Keys of the rows of variants: they lie on the reference, also in bins, and carry the variant."""

import numpy as np
import pytest
from evo2_embed.embed.rows import ShardRows
from evo2_embed.io.parts import Parts

# By name: bases before the variant on the forward strand, reference allele, alternate allele.
CHANGES = {
    "SNV": (7, 1, 1),
    "insertion": (7, 1, 9),
    "deletion": (6, 9, 1),
    "other": (5, 3, 8),
    "at the start": (0, 2, 6),
}
START, LENGTH = 100, 24


def row_of(before, reference, alternate, allele, strand, upstream=10):
    """A chunk of a variant, in a stretch with context."""
    inserted = alternate if allele == "alt" else reference
    own = LENGTH - before if strand == "+" else before + inserted
    return {
        "chunk": 0,
        "start": START,
        "end": START + LENGTH - inserted + reference,
        "context": upstream + LENGTH,
        "genome": "g",
        "contig": "c",
        "strand": strand,
        "name": None,
        "length": LENGTH,
        "variant": "c:1:A:C",
        "id": "rs1",
        "allele": allele,
        "fork": upstream + LENGTH - own,
        "insert": "A" * alternate if allele == "alt" else None,
    }


def rows_of(row, pooling):
    text = ("genome", "contig", "strand", "name", "variant", "id", "allele", "insert")
    keys = {
        key: np.array([value], object if key in text else np.int64) for key, value in row.items()
    }
    rows = ShardRows({**keys, "parts": Parts.none(1)}, pooling)
    return {key: column.to_pylist() for key, column in rows.keys(0, rows.count).items()}


@pytest.mark.parametrize("strand", ["+", "-"])
@pytest.mark.parametrize("allele", ["ref", "alt"])
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("size", [1, 5, 24])
def test_bins_of_alternates_lie_on_the_bases_that_they_are_in_place_of(
    change, allele, strand, size
):
    before, reference, alternate = CHANGES[change]
    row = row_of(*CHANGES[change], allele, strand)
    # The reference's bases of each base of the window: of a deletion, one has many.
    inserted = alternate if allele == "alt" else reference
    covered = [[START + i, START + i + 1] for i in range(before)]
    for i in range(inserted):
        first = START + before + min(i, reference - 1)
        covered.append([first, first + 1])
    covered[-1][1] = START + before + reference
    rest = LENGTH - before - inserted
    covered += [[START + before + reference + i] * 2 for i in range(rest)]
    for pair in covered[before + inserted :]:
        pair[1] += 1
    assert covered[-1][1] == row["end"]
    if strand == "-":
        covered = covered[::-1]
    bins = [covered[i : i + size] for i in range(0, LENGTH, size)]
    wanted = sorted((min(a for a, _ in some), max(b for _, b in some)) for some in bins)
    found = rows_of(row, {"bin": size})
    assert sorted(zip(found["start"], found["end"], strict=True)) == wanted
    assert sum(found["n_tokens"]) == LENGTH


@pytest.mark.parametrize("allele", ["ref", "alt"])
def test_rows_carry_the_variant(allele):
    found = rows_of(row_of(*CHANGES["insertion"], allele, "-"), "mean")
    keys = ("variant", "id", "allele", "n_tokens", "context")
    assert [found[key] for key in keys] == [["c:1:A:C"], ["rs1"], [allele], [24], [34]]
    assert found["start"] == [START]
