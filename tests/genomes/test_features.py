"""GFF3 and GTF: features, their names, and exons that are joined."""

import pytest
from runs import ROOT

# The three styles of GTF: Ensembl, GENCODE, and RefSeq of NCBI.
ENSEMBL = 'gene_id "ENSG1"; gene_version "5"; gene_name "CYCD1;1"; gene_source "havana";'
GENCODE = 'gene_id "ENSG1.5"; gene_type "lncRNA"; gene_name "CYCD1;1"; level 2; tag "basic";'
NCBI = (
    'gene_id "CYCD1;1"; transcript_id ""; db_xref "GeneID:1"; note "of gene_id "; gbkey "Gene"; '
    'description "D1; gene_name X"; gene "CYCD1;1"; gene_biotype "lncRNA";'
)


def gff(*lines, head="##gff-version 3\n"):
    """A GFF3 or GTF file of lines: type, start, end, strand, attributes; or lines as they are."""
    text = [
        line if isinstance(line, str) else "c\tx\t{}\t{}\t{}\t.\t{}\t.\t{}".format(*line)
        for line in lines
    ]
    return head + "\n".join(text) + "\n"


def names(found):
    return [row[3] for rows in found.values() for row in rows]


def parts(found):
    return {row[3]: row[5] for rows in found.values() for row in rows}


def test_features_are_counted_from_one_and_include_both_ends(read):
    text = gff(
        "##sequence-region c 1 900",
        ("region", 1, 900, ".", "ID=c:1..900"),
        ("gene", 11, 20, "-", "ID=g1;Name=recA"),
        "###",
        "# note",
        "",
        ("gene", 1, 1, "?", "ID=g2"),
        ("CDS", 11, 20, "-", "ID=c1;Parent=g1"),
    )
    assert read(text) == {
        "c": [(10, 20, "-", "recA", 4, [(10, 20)]), (0, 1, "", "g2", 8, [(0, 1)])]
    }
    assert names(read(text, features=["CDS", "region"])) == ["c:1..900", "c1"]


def test_genes_of_a_real_file(read):
    text = (ROOT / "resources" / "lambda_genes.gff3").read_text()
    cells = [line.split("\t") for line in text.splitlines() if line[0] != "#"]
    wanted = [(int(c[3]) - 1, int(c[4]), c[6]) for c in cells if c[2] == "CDS"]
    ((contig, rows),) = read(text, features=["CDS"]).items()
    assert [row[:3] for row in rows] == wanted
    assert {c[0] for c in cells} == {contig}
    assert {row[3] for row in rows} == {None}  # its features have no attributes


@pytest.mark.parametrize("end", ["##FASTA\n>c\nACGT\n", ">c\nACGT\n"])
def test_a_section_of_sequence_ends_the_features(read, end):
    assert names(read(gff(("gene", 1, 9, "+", "Name=a")) + end)) == ["a"]


def test_percent_signs_are_decoded(read):
    text = "##gff-version 3\nchr%7C1\tx\tgene\t1\t9\t.\t+\t.\tNote=a%3BName=no;Name=a%2Cb%3B%20c\n"
    assert read(text) == {"chr|1": [(0, 9, "+", "a,b; c", 2, [(0, 9)])]}


@pytest.mark.parametrize(
    ("attributes", "settings", "name"),
    [
        ("locus_tag=b1;ID=g", {}, "b1"),
        ("ID=g; Name = x ;gene=y", {}, "x"),
        ("ID=g;Name=;gene=y", {}, "y"),
        ("myName=z;ID=g", {}, "g"),
        ("Name=x;ID=g;locus_tag=b1", {"name": ["locus_tag", "ID"]}, "b1"),
        ("Name=x;ID=g", {"name": ["locus_tag"]}, None),
        (".", {}, None),
        ("", {}, None),
    ],
)
def test_the_first_attribute_that_is_there_is_the_name_in_gff3(read, attributes, settings, name):
    assert names(read(gff(("gene", 1, 9, "+", attributes)), **settings)) == [name]


@pytest.mark.parametrize("attributes", [ENSEMBL, GENCODE, NCBI])
def test_names_of_gtf_may_have_semicolons(read, attributes):
    assert names(read(gff(("gene", 1, 9, "+", attributes), head="#!build\n"))) == ["CYCD1;1"]


@pytest.mark.parametrize(
    ("attributes", "settings", "name"),
    [
        ('gene_id "g1"; transcript_id "t1"', {}, "g1"),
        ('gene_id "g1"; gene_name ""; ', {}, "g1"),
        ("gene_id g1; level 2;", {}, "g1"),
        ("gene_id g1; level 2;", {"name": ["level"]}, "2"),
        (' gene_id "g1";gene_name "n"', {}, "n"),
        (ENSEMBL, {"name": ["gene_id"]}, "ENSG1"),
    ],
)
def test_the_first_attribute_that_is_there_is_the_name_in_gtf(read, attributes, settings, name):
    assert names(read(gff(("gene", 1, 9, "+", attributes), head=""), **settings)) == [name]


def test_a_file_without_the_features_says_which_it_has(refused):
    text = gff(*[("exon", 1, 9, "+", 'gene_id "g"; transcript_id "t";')] * 1200, head="")
    text += gff(("CDS", 1, 9, "+", "."), head="")
    said = refused(text)
    assert said == "no feature 'gene' (set regions.features; in the file: exon (1,200), CDS (1))"
    assert refused(text, features=["mRNA", "tRNA"]).startswith("no feature 'mRNA' or 'tRNA'")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("c x gene 1 9 . + . ID=g", "line 2: 1 columns (expected: 9, separated by tabs)"),
        (("gene", 0, 9, "+", "ID=g"), "line 2: start 0 and end 9 (expected: 1 <= start <= end)"),
        (("gene", -3, 9, "+", "ID=g"), "line 2: start -3 and end 9"),
        (
            ("gene", 9, 8, "+", "ID=g"),
            "line 2: start 9 and end 8 (expected: 1 <= start <= end; the",
        ),
        (("gene", "x", 8, "+", "ID=g"), "line 2: start 'x' and end '8' (expected: whole numbers)"),
        (("gene", 1, 8, "*", "ID=g"), "line 2: strand '*' (allowed: + - .)"),
    ],
)
def test_bad_features_are_refused(refused, line, message):
    assert refused(gff(line)).startswith(message)


def test_an_exon_belongs_to_each_of_its_parents(read):
    found = read(
        gff(
            ("exon", 101, 150, "-", "ID=e3;Parent=m2,m1"),
            ("exon", 1, 30, "-", "Parent=m1"),
            ("gene", 1, 200, "-", "ID=g;Name=gene"),
            ("mRNA", 1, 200, "-", "ID=m1;Parent=g;Name=first"),
            ("mRNA", 1, 200, "-", "ID=m2;Parent=g"),
            ("exon", 161, 200, "-", "ID=e4;Parent=m2"),
        ),
        splice=True,
    )
    assert found == {
        "c": [
            (100, 200, "-", "m2", 2, [(100, 150), (160, 200)]),
            (0, 150, "-", "first", 2, [(0, 30), (100, 150)]),
        ]
    }


def test_lines_of_cds_with_one_id_are_one_and_a_transcript_may_have_two(read):
    text = gff(
        ("mRNA", 1, 200, "+", "ID=m1;Name=m"),
        ("CDS", 11, 20, "+", "ID=cds1;Parent=m1"),
        ("CDS", 31, 40, "+", "ID=cds1;Parent=m1"),
        ("CDS", 35, 60, "+", "ID=cds2;Parent=m1"),
    )
    rows = read(text, splice=True, features=["CDS"])["c"]
    assert [row[5] for row in rows] == [[(10, 20), (30, 40)], [(34, 60)]]
    assert [row[3] for row in rows] == ["m", "m"]  # names may repeat


def test_lines_of_cds_with_an_id_each_are_joined_by_their_transcript(read):
    text = gff(
        ("mRNA", 1, 200, "+", "ID=m1"),
        ("CDS", 31, 40, "+", "ID=m1.cds2;Parent=m1"),
        ("CDS", 11, 20, "+", "ID=m1.cds1;Parent=m1"),
    )
    assert parts(read(text, splice=True, features=["CDS"])) == {"m1": [(10, 20), (30, 40)]}


def test_the_cds_of_a_bacterial_gene_are_not_joined(read):
    text = gff(
        ("gene", 1, 90, "+", "ID=gene-b1;Name=mrcB"),
        ("CDS", 1, 90, "+", "ID=cds-1;Parent=gene-b1"),
        ("CDS", 31, 90, "+", "ID=cds-2;Parent=gene-b1"),
        ("CDS", 91, 99, "+", "ID=cds-3"),
        ("CDS", 95, 99, "+", "note=none"),
    )
    rows = read(text, splice=True, features=["CDS"])["c"]
    assert [(row[3], row[5]) for row in rows] == [
        ("mrcB", [(0, 90)]),
        ("mrcB", [(30, 90)]),
        ("cds-3", [(90, 99)]),
        (None, [(94, 99)]),
    ]


def test_exons_of_gtf_are_joined_by_gene_and_transcript(read):
    def exon(start, end, gene, transcript):
        return "exon", start, end, "+", f'gene_id "{gene}"; transcript_id "{transcript}"; gene "n";'

    text = gff(
        ("gene", 1, 99, "+", 'gene_id "g1"; transcript_id "";'),
        exon(31, 40, "g1", "t1"),
        exon(11, 20, "g1", "t1"),
        exon(15, 20, "g1", "t2"),
        exon(35, 50, "g2", "unknown_transcript_1"),
        exon(36, 60, "g3", "unknown_transcript_1"),
        head="",
    )
    rows = read(text, splice=True)["c"]
    assert [(row[3], row[5]) for row in rows] == [
        ("t1", [(10, 20), (30, 40)]),
        ("t2", [(14, 20)]),
        ("unknown_transcript_1", [(34, 50)]),
        ("unknown_transcript_1", [(35, 60)]),
    ]
    assert names(read(text, splice=True, name=["gene"])) == ["n"] * 4


EXON = "exon", 1, 30, "+", "Parent=m1"
MRNA = "mRNA", 1, 200, "+", "ID=m1;Name=first"


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([MRNA, EXON, ("exon", 30, 40, "+", "Parent=m1")], "line 4: overlaps line 3, which is a"),
        (
            [EXON, MRNA, EXON],
            "line 4: overlaps line 2, which is a part of the same transcript 'm1'",
        ),
        (
            [MRNA, EXON, ("exon", 50, 60, "-", "Parent=m1")],
            "line 4: transcript 'm1' is on two strands, '-' and '+' (line 3)",
        ),
        (
            [MRNA, EXON, "d\tx\texon\t50\t60\t.\t+\t.\tParent=m1"],
            "line 4: transcript 'm1' is on two contigs, 'd' and 'c' (line 3)",
        ),
        ([EXON, ("gene", 1, 30, "+", "ID=g")], "line 2: Parent 'm1' is not the ID of a feature in"),
        (
            [("exon", 1, 30, "+", 'gene_id "g";')],
            "line 2: no transcript_id (splice: true joins the features that share it)",
        ),
    ],
)
def test_exons_that_cannot_be_joined_are_refused(refused, lines, message):
    assert refused(gff(*lines), splice=True).startswith(message)


def test_cds_with_an_id_each_on_two_strands_are_refused(refused):
    lines = [
        MRNA,
        ("CDS", 1, 30, "+", "ID=a;Parent=m1"),
        ("CDS", 50, 60, "-", "ID=b;Parent=m1"),
    ]
    said = refused(gff(*lines), splice=True, features=["CDS"])
    assert said.startswith("line 4: transcript 'm1' is on two strands, '-' and '+' (line 3)")


REGION = "region", 1, 1000, "+", "ID=c:1..1000;Is_circular=true"


def test_a_feature_of_two_lines_over_the_origin_is_one_region(read):
    lines = [
        REGION,
        ("gene", 991, 1000, "+", "ID=g1;Name=a;part=1"),
        ("gene", 1, 30, "+", "ID=g1;Name=a;part=2"),
        ("gene", 1, 40, "-", "ID=g2;Name=b"),
        ("gene", 951, 1012, "+", "ID=g3;Name=c"),  # as GFF3 and NCBI write it
    ]
    assert read(gff(*lines)) == {
        "c": [
            (990, 1030, "+", "a", 3, [(990, 1030)]),
            (0, 40, "-", "b", 5, [(0, 40)]),
            (950, 1012, "+", "c", 6, [(950, 1012)]),
        ]
    }
    # Nothing says that the record is circular.
    assert len(read(gff(*lines[1:]))["c"]) == 4


def test_a_transcript_over_the_origin_is_one_region(read):
    lines = [
        REGION,
        ("gene", 901, 1130, "-", "ID=g1;Name=a"),
        ("exon", 901, 910, "-", "Parent=g1"),
        ("exon", 991, 1000, "-", "Parent=g1"),
        ("exon", 1, 30, "-", "Parent=g1"),
        ("exon", 101, 130, "-", "Parent=g1"),
    ]
    found = read(gff(*lines), splice=True)
    assert found == {
        "c": [(900, 1130, "-", "a", 4, [(900, 910), (990, 1030), (1100, 1130)])],
    }
