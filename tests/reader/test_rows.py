"""Rows by region, name and number: always those that a look at each row finds."""

import evo2_embed
import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from evo2_embed.io.errors import InputError
from evo2_embed.io.tables import embeddings_schema, vectors
from layer_files import keys_of, write_dataset
from made import GENOMES, ROWS, TWO, VALUES, vectors_of, windows, write, write_variants
from pyarrow import parquet


def expected(found):
    """Indices of the rows for which a function of genome and row is true."""
    rows = zip(GENOMES, ROWS, strict=True)
    return [i for i, (genome, row) in enumerate(rows) if found(genome, *row)]


def check(frame, rows):
    """Check that a frame has these rows, with all columns."""
    assert frame["row"].to_list() == rows
    assert (frame["embedding"].to_numpy() == VALUES[rows]).all()
    keys = list(frame.select("genome", "contig", "start", "end", "strand", "name").iter_rows())
    assert keys == [(GENOMES[i], *ROWS[i]) for i in rows]
    assert frame.schema["genome"] == pl.String


def test_a_region_is_read_as_text_and_as_numbers(ds):
    rows = expected(lambda g, c, start, end, s, n: c == "chr2" and start < 57 and end > 19)
    assert len(rows) > 5
    for region in ("chr2:20-57", "chr2:20-5,7", ("chr2", 19, 57), ("chr2", np.int64(19), 57)):
        check(ds.region(region), rows)
    for strand in "+-":
        check(ds.region("chr2:20-57", strand=strand), [i for i in rows if ROWS[i][3] == strand])
    whole = expected(lambda g, c, *_: c == "chr2")
    check(ds.region("chr2"), whole)
    check(ds.region("chr2:20-"), whole[whole.index(rows[0]) :])
    check(ds.region("chr2:10,000-10,001"), [])


def test_the_first_and_the_last_base_of_a_window_count_and_their_neighbours_do_not(ds):
    # A window has the bases 56 to 64, counted from 1; the next one begins at 61.
    (row,) = expected(lambda g, c, start, e, strand, n: (c, start, strand) == ("chr2", 55, "+"))
    for base, inside in ((55, False), (56, True), (64, True), (65, False)):
        found = ds.region(f"chr2:{base}-{base}")["row"].to_list()
        assert (row in found) == inside, base


def test_a_contig_of_several_genomes_needs_the_genome(ds):
    rows = expected(lambda g, c, start, end, *_: c == "shared" and start < 50 and end > 40)
    assert {GENOMES[i] for i in rows} == {"one", "two"}
    for genome in ("one", "two"):
        mine = [i for i in rows if GENOMES[i] == genome]
        check(ds.region("shared:41-50", genome=genome), mine)
    with pytest.raises(InputError, match="contig 'shared' is in one, two; name one of them"):
        ds.region("shared:41-50")
    with pytest.raises(InputError, match="contig 'chr2' is in two; name one of them"):
        ds.region("chr2", genome="one")
    with pytest.raises(InputError, match="no row is of a genome 'tow'; there are: one, two"):
        ds.region("shared", genome="tow")


def test_the_name_of_a_contig_may_have_a_colon(ds):
    rows = expected(lambda g, c, *_: c == "alone:1")
    check(ds.region("alone:1"), rows)
    check(ds.region("alone:1:1-9"), rows[:4])


@pytest.mark.parametrize(
    ("region", "said"),
    [
        ("chr3:1-2", "no row is of a contig 'chr3'; did you mean 'chr2'"),
        ("chr2:7", "write both ends"),
        ("chr2:9-3", "has no base"),
        ("chr2:0-3", "positions count from 1"),
        ("chr2:,-3", "not a number"),
        (("chr2", 9, 9), "end after start"),
        (("chr2", -1, 9), "start is 0 at least"),
        (("chr2", 1), r"nor \(contig, start, end\)"),
        (5, r"nor \(contig, start, end\)"),
    ],
)
def test_what_is_no_region_is_refused(ds, region, said):
    with pytest.raises(InputError, match=said):
        ds.region(region)


def test_a_strand_is_plus_or_minus(ds):
    with pytest.raises(InputError, match=r"strand: '1' \(allowed: '\+', '-'\)"):
        ds.region("chr2", strand=1)


def test_a_region_reads_only_the_row_groups_that_it_needs(ds, monkeypatch):
    read = []
    original = parquet.ParquetFile.read_row_group

    def watched(self, number, *arguments, **options):
        read.append(number)
        return original(self, number, *arguments, **options)

    monkeypatch.setattr(parquet.ParquetFile, "read_row_group", watched)
    assert len(ds.region("chr2:1-9")) == 4
    # Of 18 row groups, those with rows of several contigs are read first to know which.
    assert len(read) <= 3 + 4
    read.clear()
    # 4 rows of 14 in a row group: keys once, and all columns once.
    assert len(ds.region("chr2:1-9")) == 4
    assert len(read) <= 4


def test_rows_over_the_origin_are_found_from_both_sides(tmp_path, short_groups):
    rows = [*windows("plasmid", 15), ("plasmid", 75, 92, "+", "over"), ("plasmid", 2, 9, "-", "on")]
    rows.sort(key=lambda row: row[1])
    genomes = ["g"] * len(rows)
    write(tmp_path, values=vectors_of(len(rows)), rows=rows, genomes=genomes)
    ds = evo2_embed.open(tmp_path / "blocks.2")

    def bases(row):  # of a contig of 80 bases, one by one
        return {base % 80 for base in range(row[1], row[2])}

    for region, asked in (
        ("plasmid:1-5", range(5)),
        ("plasmid:13-14", range(12, 14)),
        ("plasmid:79-82", (78, 79, 0, 1)),
        ("plasmid:77-80", range(76, 80)),
        (("plasmid", 70, 90), [*range(70, 80), *range(10)]),
    ):
        found = ds.region(region, circular=80)["row"].to_list()
        assert found == [i for i, row in enumerate(rows) if bases(row) & set(asked)], region
    assert "over" not in ds.region("plasmid:1-5")["name"].to_list()
    for region in ("plasmid:81-90", "plasmid:2-82"):
        with pytest.raises(InputError, match="the circular contig has 80"):
            ds.region(region, circular=80)


def test_rows_by_name(ds):
    rows = expected(lambda g, c, s, e, strand, name: name == "dna7")
    assert len(rows) == 4  # in both genomes
    check(ds.by_name("dna7"), rows)
    check(ds.by_name("dna7", genome="two"), rows[2:])
    check(ds.by_name("dna7", strand="-"), rows[1::2])
    both = expected(lambda g, c, s, e, strand, name: name in ("dna7", "gene3"))
    check(ds.by_name(["gene3", "dna7"]), both)


def test_a_name_that_is_not_there_is_said_with_near_ones(ds, results, tmp_path):
    with pytest.raises(InputError, match="name 'DNA7'; did you mean 'dna7'"):
        ds.by_name("DNA7")
    with pytest.raises(InputError, match="name 'gen3'; did you mean 'gene3'"):
        ds.by_name(["dna7", "gen3"])
    with pytest.raises(InputError, match="name 'quux'; there are: dna0, dna1, .* more"):
        ds.by_name("quux")
    rows = windows("c", 4)
    write(tmp_path, "bare", vectors_of(8), rows, ["g"] * 8)
    with pytest.raises(InputError, match="its rows have no names"):
        evo2_embed.open(tmp_path / "bare").by_name("dna7")


def test_rows_by_number_keep_the_order_that_was_asked(ds):
    check(ds.rows([200, 3, 3, 17]), [200, 3, 3, 17])
    check(ds.rows(5), [5])
    check(ds.rows([]), [])
    for bad in (-1, len(ROWS)):
        with pytest.raises(InputError, match=rf"no row {bad}; it has 230, from 0"):
            ds.rows([0, bad])


def test_scan_has_all_rows_and_their_numbers(ds):
    frame = ds.scan().collect()
    check(frame.with_columns(pl.col("genome", "contig").cast(pl.String)), list(range(len(ROWS))))
    some = ds.scan().filter(pl.col("contig") == "chr2", pl.col("strand") == "-").collect()
    assert some["row"].to_list() == expected(lambda g, c, s, e, d, n: (c, d) == ("chr2", "-"))


def test_keys_are_those_of_the_rows_that_are_asked_for(ds):
    keys = ds.keys(pl.col("name").str.starts_with("gene") & (pl.col("row") % 2 == 0))
    assert keys["row"].to_list() == expected(lambda g, c, s, e, d, n: "gene" in (n or ""))[::2]
    assert "embedding" not in keys.columns
    with pytest.raises(InputError, match="where: no column 'contg'; did you mean 'contig'"):
        ds.keys(pl.col("contg") == "a")


def test_part_files_made_before_some_columns_came_are_read_with_them(tmp_path, short_groups):
    schema = embeddings_schema(VALUES.shape[1], "float32")
    table = pa.table([*keys_of(TWO).columns, vectors(VALUES[: len(TWO)])], schema=schema)
    older = table.drop_columns("exons")
    said = {"width": VALUES.shape[1], "dtype": "float32"}
    ds = evo2_embed.open(write_dataset(tmp_path, "blocks.2", older, VALUES.shape[1], **said))
    assert set(ds.scan().collect()["exons"]) == set(ds.region("chr2")["exons"]) == {1}
    assert (ds.numpy() == VALUES[: len(TWO)]).all()


@pytest.fixture
def alleles(tmp_path, short_groups):
    """A dataset of variants, of which one is a deletion of 30 bases."""
    variants = [
        (f"rs{i}" if i % 2 else None, "c", 10 * i + 1, "A" if i != 3 else "A" * 30, "G")
        for i in range(20)
    ]
    deltas = vectors_of(20)
    names = [":".join(map(str, variant[1:])) for variant in variants]
    return evo2_embed.open(write_variants(tmp_path, "norm", variants, deltas)), names, deltas


def test_the_dataset_of_variants_is_read_by_name_and_region(alleles):
    ds, names, deltas = alleles
    found = ds.by_name([names[4], "rs7"])
    assert found["variant"].to_list() == [names[4], names[7]]
    assert (found["delta"].to_numpy() == deltas[[4, 7]]).all()
    # The deletion at 31 has the bases 31 to 60.
    assert ds.region("c:51-61")["row"].to_list() == [3, 5, 6]
    assert ds.region(("c", 60, 61))["row"].to_list() == [6]
    assert (ds.numpy() == deltas).all()
    assert ds.neighbours(deltas[4], k=1, centre=False)["variant"].to_list() == [names[4]]
    for refused in (ds.genomes, ds.contigs):
        with pytest.raises(InputError, match="no embeddings"):
            refused()
