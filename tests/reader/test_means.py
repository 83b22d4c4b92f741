"""Means of genomes and contigs: weighted by tokens, equal from tables of levels and from rows."""

import evo2_embed
import numpy as np
import polars as pl
import pytest
from evo2_embed.dataset.dataset import Dataset
from evo2_embed.dataset.levels import LevelMeans
from evo2_embed.io.errors import InputError
from evo2_embed.io.files import read_json, write_json
from made import GENOMES as ALL_GENOMES
from made import ROWS as ALL_ROWS
from made import vectors_of, windows, write

# Windows of two lengths, and fewer of them on `-`.
KEPT = [i for i, row in enumerate(ALL_ROWS) if i % 10 != 3]
GENOMES = [ALL_GENOMES[i] for i in KEPT]
ROWS = [
    (contig, start, end - 4 * (start % 3 == 0), strand, name)
    for contig, start, end, strand, name in (ALL_ROWS[i] for i in KEPT)
]
VALUES = vectors_of(len(ROWS), 5)
OWNERS = list(dict.fromkeys((g, row[0]) for g, row in zip(GENOMES, ROWS, strict=True)))


@pytest.fixture
def ds(tmp_path, short_groups):
    return evo2_embed.open(write(tmp_path, values=VALUES, rows=ROWS, genomes=GENOMES))


def expected(genome, contig=None, strand=None):
    """Rows, tokens and mean of a genome or contig, and strand, by plain numpy."""
    mine = [
        i
        for i, row in enumerate(ROWS)
        if GENOMES[i] == genome and contig in (None, row[0]) and strand in (None, row[3])
    ]
    tokens = np.array([ROWS[i][2] - ROWS[i][1] for i in mine])
    mean = np.average(VALUES[mine].astype(np.float64), axis=0, weights=tokens)
    return len(mine), int(tokens.sum()), mean


def check(frame, owners):
    """Check the rows of a frame; owners are genome, contig or None, strand or None."""
    keys = [name for name in ("genome", "contig", "strand") if name in frame.columns]
    wanted = [tuple(part for part in owner if part is not None) for owner in owners]
    assert frame.select(keys).rows() == wanted
    for row, owner in zip(frame.iter_rows(named=True), owners, strict=True):
        count, tokens, mean = expected(*owner)
        assert (row["n_rows"], row["n_tokens"]) == (count, tokens)
        np.testing.assert_allclose(row["embedding"], mean, rtol=1e-6)


def test_a_genome_has_one_vector_of_all_strands_weighted_by_tokens(ds):
    tokens = [expected("one", strand=strand)[1] for strand in "+-"]
    assert tokens[0] != tokens[1]
    check(ds.genomes(), [("one", None, None), ("two", None, None)])
    check(ds.contigs(), [(*owner, None) for owner in OWNERS])


def test_strands_are_kept_on_request(ds):
    check(ds.genomes("keep"), [(g, None, strand) for g in ("one", "two") for strand in "+-"])
    check(ds.contigs(strands="keep"), [(*owner, strand) for owner in OWNERS for strand in "+-"])
    with pytest.raises(InputError, match=r"strands: 'both' \(allowed: mean, keep\)"):
        ds.genomes("both")


def test_tables_of_levels_give_the_same_without_reading_the_rows(ds, monkeypatch):
    before = [ds.genomes(), ds.genomes("keep"), ds.contigs(), ds.contigs("keep")]
    path = ds.dataset.path
    paths = {level: path.with_name(f"blocks.2.{level}.parquet") for level in ("genome", "contig")}
    with LevelMeans(paths, ds.width) as means:
        list(means.watch(ds.dataset.row_groups()))
    write_json(path, {**read_json(path), "levels": means.files})
    monkeypatch.setattr(Dataset, "row_groups", None)
    again = evo2_embed.open(path)
    after = [again.genomes(), again.genomes("keep"), again.contigs(), again.contigs("keep")]
    assert all(one.equals(other) for one, other in zip(before, after, strict=True))
    level = paths["genome"]
    level.write_bytes(level.read_bytes()[:-1] + b"x")
    with pytest.raises(InputError, match=f"{level}: damaged or changed"):
        again.genomes()


def test_strands_side_by_side_are_joined_to_one_vector_of_a_strand(tmp_path, short_groups):
    rows = [*windows("a", 30), *windows("b", 12)]
    values = vectors_of(len(rows))
    genomes = ["one"] * 60 + ["two"] * 24
    layer = write(tmp_path, "norm", values, rows, genomes)
    plus, both = rows[::2], np.hstack([values[::2], values[1::2]])
    fused = write(
        tmp_path, "both", both, plus, genomes[::2], fusion={"method": "mean", "strands": "concat"}
    )
    layer, fused = evo2_embed.open(layer), evo2_embed.open(fused)
    assert fused.width == 2 * layer.width
    for level in ("genomes", "contigs"):
        alone, joined = getattr(layer, level)(), getattr(fused, level)()
        assert joined["genome"].to_list() == alone["genome"].to_list()
        np.testing.assert_allclose(
            joined["embedding"].to_numpy(), alone["embedding"].to_numpy(), rtol=1e-6
        )
        # As stored: the strands keep their halves.
        kept, strands = getattr(fused, level)("keep"), getattr(layer, level)("keep")
        assert kept["strand"].to_list() == ["+", "+"]
        sides = [
            strands.filter(pl.col("strand") == strand)["embedding"].to_numpy() for strand in "+-"
        ]
        np.testing.assert_allclose(kept["embedding"].to_numpy(), np.hstack(sides), rtol=1e-6)


def test_alleles_have_no_mean(ds):
    dataset = Dataset(ds.dataset.path, {**ds.dataset.record, "variants": True})
    with pytest.raises(InputError, match="has rows of variants, two alleles of the same bases"):
        type(ds)(dataset).genomes()
