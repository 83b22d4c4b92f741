"""Regions against the records of their FASTA file, and the column circular of the sheet."""

import gzip
import os
from pathlib import Path

import pytest
from evo2_embed.genomes.fit import fit_regions, region_faults
from evo2_embed.genomes.lengths import known_lengths
from evo2_embed.genomes.regions import read_regions
from evo2_embed.genomes.sample_sheet import Genome, read_sheet
from evo2_embed.io.errors import InputError
from evo2_embed.settings.windows import RegionSettings
from hypothesis import given, settings
from hypothesis import strategies as st
from region_rows import rows_of
from runs import random_bases, write_fasta

LENGTHS = {"1": 500, "2": 300, "MT": 160, "NC_000913.3": 100}


@pytest.fixture
def fitted(tmp_path):
    """A function that fits the regions of a BED file to records: start, end, parts by contig."""

    def fitted(text, circular=None, lengths=LENGTHS, **settings):
        path = tmp_path / "r.bed"
        path.write_text(text)
        chosen = RegionSettings(**settings)
        genome = Genome("g", "g.fa", str(path), circular)
        found = fit_regions(read_regions(str(path), chosen), lengths, genome, chosen)
        return {c: [(*row[:2], row[5]) for row in rows_of(mine)] for c, mine in found.items()}

    return fitted


def said(fitted, *arguments, **keywords):
    """What is said of regions that do not fit, without the path."""
    with pytest.raises(InputError) as error:
        fitted(*arguments, **keywords)
    assert "\n" not in str(error.value)
    return str(error.value).partition("r.bed: ")[2]


def test_regions_up_to_the_end_of_their_record_stay(fitted):
    text = "2\t0\t300\n1\t499\t500\n"
    assert fitted(text) == {"2": [(0, 300, [(0, 300)])], "1": [(499, 500, [(499, 500)])]}
    assert fitted(text, off_contig="clip") == fitted(text)


def test_a_region_past_the_end_is_refused_or_clipped(fitted):
    text = "1\t0\t9\n1\t480\t501\n"
    assert said(fitted, text) == (
        "line 2: end 501 is past the end of record '1' (500 bases); regions.off_contig: clip cuts "
        "regions off, and a region over the origin needs the column circular of the sheet"
    )
    assert fitted(text, off_contig="clip")["1"] == [(0, 9, [(0, 9)]), (480, 500, [(480, 500)])]
    assert said(fitted, "1\t-5\t9\n").startswith("line 1: start -5 and end 9")
    assert fitted("1\t-5\t9\n", off_contig="clip")["1"] == [(0, 9, [(0, 9)])]
    assert said(fitted, "1\t-9\t0\n", off_contig="clip").startswith("line 1: start -9 and end 0")
    outside = "1\t500\t510\n"
    for off_contig in ("error", "clip"):
        assert said(fitted, outside, off_contig=off_contig) == (
            "line 1: start 500 is past the end of record '1' (500 bases)"
        )


def test_exons_past_the_end_are_clipped(fitted):
    lines = [
        "2\t200\t400\tt\t0\t+\t0\t0\t0\t3\t10,90,5\t0,50,195",
        "2\t0\t20\tu\t0\t+\t0\t0\t0\t2\t5,5\t0,15",
        "2\t200\t400\tv\t0\t+\t0\t0\t0\t3\t10,5,5\t0,50,195",
    ]
    assert fitted("\n".join(lines), splice=True, off_contig="clip")["2"] == [
        (200, 300, [(200, 210), (250, 300)]),
        (0, 20, [(0, 5), (15, 20)]),
        (200, 255, [(200, 210), (250, 255)]),
    ]


@pytest.mark.parametrize("circular", ["all", ("2", "1")])
def test_a_region_over_the_origin_of_a_circular_record_stays(fitted, circular):
    text = "1\t480\t980\n1\t0\t500\n"
    assert fitted(text, circular)["1"] == [(480, 980, [(480, 980)]), (0, 500, [(0, 500)])]
    assert fitted(text, circular, off_contig="clip") == fitted(text, circular)
    assert said(fitted, "1\t480\t981\n", circular) == (
        "line 1: start 480 and end 981 are more than once around the circular record '1' "
        "(500 bases)"
    )
    assert said(fitted, text, circular, rows="window") == (
        "line 1: end 980 is past the origin of the circular record '1' (500 bases), which needs "
        "regions.rows: region"
    )
    assert said(fitted, "1\t500\t520\n", circular).startswith("line 1: start 500 is past the end")
    assert said(fitted, "MT\t0\t161\n", ("1",)).startswith("line 1: end 161 is past the end of")


def test_names_of_circular_records_are_checked(fitted):
    assert said(fitted, "1\t0\t5\n", ("1", "plasmid")) == (
        "genome 'g' of the sheet: circular: no record 'plasmid' in g.fa "
        "(allowed: true, false, or names of records, separated by commas)"
    )


@pytest.mark.parametrize(
    ("contigs", "message"),
    [
        (["x"], "line 1: no record 'x' in g.fa, which has 1, 2, MT and 1 more"),
        (
            ["1", "chr1", "chrUn"],
            "line 2: no record for 2 contigs (chr1, chrUn) in g.fa, which has 1, 2, MT and 1 more; "
            "'chr1' and '1' differ in the prefix 'chr' only",
        ),
        (["chrM"], "line 1: no record 'chrM' in g.fa, which has 1, 2, MT and 1 more; 'chrM' and "),
        (
            ["NC_000913"],
            "line 1: no record 'NC_000913' in g.fa, which has 1, 2, MT and 1 more; "
            "'NC_000913' and 'NC_000913.3' differ in the version only",
        ),
        (
            [f"x{i}" for i in range(25)],
            "line 1: no record for 25 contigs (x0, x1, x2, x3, x4, x5, x6, x7, x8, x9 and 15 more)",
        ),
    ],
)
def test_unknown_contigs_are_named_with_a_hint(fitted, contigs, message):
    assert said(fitted, "".join(f"{c}\t0\t5\n" for c in contigs)).startswith(message)


def test_small_files_and_files_with_an_index_are_checked_when_a_run_starts(tmp_path):
    bed, settings = tmp_path / "r.bed", RegionSettings()
    bed.write_text("b\t0\t451\n")
    path = write_fasta(tmp_path / "g.fa", [("a one", random_bases(90, 1)), ("b", "ACGT" * 100)])
    (fault,) = region_faults([Genome("g", path, str(bed))], settings)
    assert fault.startswith(f"{bed}: line 1: end 451 is past the end of record 'b' (400 bases)")
    assert region_faults([Genome("g", path, str(bed), "all")], settings)[0].endswith("(400 bases)")
    index = Path(f"{path}.fai")
    index.write_text("b\t451\t3\t60\t61\n")
    assert region_faults([Genome("g", path, str(bed))], settings) == [None]
    os.utime(index, (0, 0))  # older than the file
    assert region_faults([Genome("g", path, str(bed))], settings) != [None]


def test_lengths_are_those_of_the_records(tmp_path):
    path = write_fasta(tmp_path / "g.fa", [("a one", random_bases(90, 1)), ("b", "ACGT" * 100)])
    assert known_lengths(path) == {"a": 90, "b": 400}
    packed = tmp_path / "g.fa.gz"
    packed.write_bytes(gzip.compress(Path(path).read_bytes().replace(b"\n", b"\r\n")))
    assert known_lengths(str(packed)) == {"a": 90, "b": 400}
    for content in (b"", b"ACGT", b">a\nA\n>a\nC\n", packed.read_bytes()[:40], bytes(9 << 20)):
        (tmp_path / "x.fa").write_bytes(content)
        assert known_lengths(str(tmp_path / "x.fa")) is None


@pytest.mark.parametrize(
    ("cell", "circular"),
    [
        ("true", "all"),
        ("TRUE", "all"),
        ("false", None),
        ("", None),
        ("NC_1.1", ("NC_1.1",)),
        ("p1, p2,p3", ("p1", "p2", "p3")),
    ],
)
def test_the_sheet_says_which_records_are_circular(tmp_path, cell, circular):
    path = tmp_path / "sheet.tsv"
    path.write_text(f"genome\tfasta\tcircular\ng\tg.fa\t{cell}\nh\th.fa\n")
    genomes, faults = read_sheet(str(path))
    assert faults == []
    assert [genome.circular for genome in genomes] == [circular, None]


def test_what_is_circular_counts_for_rules_only_with_regions():
    assert Genome("g", "g.fa", None, "all").row == ["g", "g.fa", None]
    assert Genome("g", "g.fa", "r.bed").row == ["g", "g.fa", "r.bed"]
    assert Genome("g", "g.fa", "r.bed", "all").row == ["g", "g.fa", "r.bed", "all"]
    row = Genome("g", "g.fa", "r.bed", ("a", "b")).row
    assert row == ["g", "g.fa", "r.bed", ["a", "b"]]
    assert Genome(*row) == Genome("g", "g.fa", "r.bed", ("a", "b"))


DAMAGED = st.lists(
    st.sampled_from(
        [
            "##gff-version 3",
            "c\tx\tregion\t1\t900\t.\t-\t.\tID=r;Is_circular=true",
            "c\tx\tgene\t880\t912\t.\t+\t.\tID=m;Name=gene",
            "c\tx\texon\t801\t900\t.\t-\t.\tID=e;Parent=m",
            "c\tx\texon\t1\t60\t.\t-\t.\tID=e;Parent=m",
            "c\tx\texon\t70\t90\t.\t-\t.\tParent=m,e",
            'c\tx\texon\t5\t90\t.\t+\t.\tgene_id "m"; transcript_id "t";',
            "c\tx\tgene\t1\t9",
            "c\t10\t950\tt\t0\t-\t10\t90\t0\t3\t5,10,20\t0,20,920",
            "c\t-5\t9",
            "contig\tstart\tend",
            "d\t1\t5",
            ">c",
            "",
        ]
    ),
    max_size=9,
)


@given(DAMAGED, st.booleans(), st.sampled_from(["error", "clip"]), st.sampled_from([None, "all"]))
@settings(deadline=None)
def test_any_file_gives_whole_regions_or_one_line(
    tmp_path_factory, lines, splice, off_contig, circular
):
    path = tmp_path_factory.mktemp("regions") / "r"
    path.write_text("\n".join(lines))
    chosen = RegionSettings(splice=splice, off_contig=off_contig)
    genome, lengths = Genome("g", "g.fa", str(path), circular), {"c": 900, "d": 50}
    found, said = {}, ""
    try:
        found = fit_regions(read_regions(str(path), chosen), lengths, genome, chosen)
    except InputError as error:
        said = str(error)
    assert bool(found) != said.startswith(f"{path}: ")
    assert "\n" not in said
    for contig, mine in found.items():
        length = lengths[contig]
        for start, end, strand, _, line, parts in rows_of(mine):
            assert 0 <= start < min(end, length)
            assert end <= (start + length if circular else length)
            assert strand in ("", "+", "-")
            assert 1 <= line <= len(lines)
            edges = [edge for part in parts for edge in part]
            assert (edges[0], edges[-1]) == (start, end)
            assert edges == sorted(edges)
            assert all(a < b for a, b in parts)
