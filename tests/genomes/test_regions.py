"""Files of regions: how formats are told, and lines of BED and TSV."""

import gzip
import struct

import numpy as np
import pytest
from Bio import bgzf
from evo2_embed.genomes import regions
from evo2_embed.genomes.regions import read_regions, region_bases
from evo2_embed.settings.windows import RegionSettings
from runs import run_python

BED = "# note\ntrack name=x\nbrowser hide all\nc\t1\t5\nc\t0\t9\tgene\t0\t-\nd 2 3 .\n"
BED_ROWS = {
    "c": [(1, 5, "", None, 4, [(1, 5)]), (0, 9, "-", "gene", 5, [(0, 9)])],
    "d": [(2, 3, "", None, 6, [(2, 3)])],
}


def test_columns_four_and_six_are_name_and_strand(read):
    assert read(BED) == BED_ROWS


def test_contigs_named_track_keep_their_regions(read):
    lines = ["track1\t0\t5", "browserX\t1\t5", "track\t2\t5", "track name=t", "browser position x"]
    assert {contig: mine[0][0] for contig, mine in read("\n".join(lines)).items()} == {
        "track1": 0,
        "browserX": 1,
        "track": 2,
    }


@pytest.mark.parametrize("kind", ["plain", "gzip", "bgzip", "two members", "windows", "bom"])
def test_compression_and_line_ends_do_not_change_what_is_read(read, tmp_path, kind):
    content = BED.encode()
    if kind == "gzip":
        content = gzip.compress(content)
    elif kind == "bgzip":
        with bgzf.open(tmp_path / "x", "wb") as handle:
            handle.write(content)
        content = (tmp_path / "x").read_bytes()
    elif kind == "two members":
        content = gzip.compress(content[:20]) + gzip.compress(content[20:])
    elif kind == "windows":
        content = content.replace(b"\n", b"\r\n")
    elif kind == "bom":
        content = b"\xef\xbb\xbf" + content
    assert read(content) == BED_ROWS


def test_a_file_with_twelve_columns_or_a_narrow_peak_is_bed(read):
    peak = "c\t10\t90\tpeak1\t700\t.\t3.1\t5.2\t2.2\t40\n"
    assert read(peak) == {"c": [(10, 90, "", "peak1", 1, [(10, 90)])]}
    blocks = "c\t10\t90\tt\t0\t-\t10\t90\t0,0,0\t3\t5,10,20,\t0,20,60,\n"
    assert read(blocks) == {"c": [(10, 90, "-", "t", 1, [(10, 90)])]}
    parts = [(10, 15), (30, 40), (70, 90)]
    assert read(blocks, splice=True) == {"c": [(10, 90, "-", "t", 1, parts)]}
    assert read(blocks + blocks.replace("c\t", "d\t"), splice=True)["d"][0][-1] == parts


@pytest.mark.parametrize(
    ("blocks", "message"),
    [
        ("3\t5,10\t0,20,60", "line 1: 3 blocks, but 2 sizes and 3 starts"),
        ("2\t5,x\t0,20", "line 1: columns 10 to 12 are not blocks"),
        ("2\t30,60\t0,20", "line 1: blocks are empty, overlap or are not in order"),
        ("2\t20,10\t60,0", "line 1: blocks are empty, overlap or are not in order"),
        ("2\t10,0\t0,80", "line 1: blocks are empty, overlap or are not in order"),
        ("2\t5,10\t0,20", "line 1: blocks do not begin at the region's start and end at its end"),
    ],
)
def test_bad_blocks_are_refused(refused, blocks, message):
    assert refused(f"c\t10\t90\tt\t0\t-\t10\t90\t0\t{blocks}\n", splice=True).startswith(message)


@pytest.mark.parametrize("line", ["c\t0\t9\tn\t0\t+", "contig\tstart\tend"])
def test_splicing_needs_exons(refused, line):
    said = refused(line + "\n", splice=True)
    assert "splice: true needs exons (allowed: GFF3, GTF, or BED with 12 columns)" in said


def test_a_header_line_makes_a_table(read):
    table = "start\tscore\tcontig\tend\tname\tstrand\n5\t1\tc\t9\tx y\t-\n# note\n\n0\t\td\t4\t\t\n"
    assert read(table) == {
        "c": [(5, 9, "-", "x y", 2, [(5, 9)])],
        "d": [(0, 4, "", None, 5, [(0, 4)])],
    }


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("chrom\tstart\tend\nc\t1\t5", "line 1: column 'contig' is missing (wanted: contig, start"),
        ("contig\tStart\tend\nc\t1\t5", "line 1: column 'start' is missing"),
        ("contig\tstart\tend\tStrand", "line 1: column 'Strand': rename it to 'strand', or else"),
        ("contig\tstart\tend\tstart", "line 1: column 'start' is there twice"),
        (
            "contig start end\nc 1 5",
            "line 1: a header line whose columns are not separated by tabs",
        ),
        ("contig,start,end\nc,1,5", "line 1: the file is CSV (separate the columns by tabs"),
        ("contig\tstart\tend\nc\t1", "line 2: 2 cells under 3 columns"),
        ("contig\tstart\tend\nc\t1\tx", "line 2: start '1' and end 'x' (expected: whole numbers)"),
        ("contig\tstart\tend\nc\t5\t5", "line 2: start 5 and end 5 (wanted: 0 <= start < end)"),
        ("contig\tstart\tend\n", "no regions in the file (allowed: BED, GFF3, GTF, or TSV"),
    ],
)
def test_bad_tables_are_refused(refused, table, message):
    assert refused(table).startswith(message)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("c\t5\t5", "line 2: start 5 and end 5 (wanted: 0 <= start < end)"),
        ("c\t-1\t5", "line 2: start -1 and end 5"),
        ("c\t6\t5", "line 2: start 6 and end 5"),
        ("c\t1", "line 2: not BED"),
        ("c\t1\tx", "line 2: not BED"),
        ("c\t1\t5\tn\t0\t*", "line 2: strand '*' (allowed: + - .)"),
        (f"c\t1\t{10**19}", "line 2: end 10000000000000000000 (allowed: at most 1000000000000)"),
        (f"c\t1\t{'9' * 5000}", "line 2: not BED"),
        ("c\t1\t1_000", "line 2: not BED"),
        ("c\t1\t²", "line 2: not BED"),
        ("c\t1\t٣", "line 2: not BED"),
        ("c" * 2_000_000, "line 2: longer than 1,048,576 characters"),
        ("c\t1\t5\tn\t0\t\x1b[31m", r"line 2: strand '\x1b[31m'"),
    ],
)
def test_other_lines_are_refused_with_their_number(refused, line, message):
    assert refused(f"c\t0\t1\n{line}\n").startswith(message)


VCF = "1\t100\t5000\tA\tG\t50\tPASS\tDP=3\n"


@pytest.mark.parametrize(
    ("content", "form"),
    [
        ("##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n" + VCF, "VCF"),
        ("#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n" + VCF, "VCF"),
        (VCF, "VCF"),  # with an ID that would pass as an end
        (gzip.compress(b"##fileformat=VCFv4.2\n", mtime=0), "VCF"),
        (">c one\nACGT\n", "FASTA"),
        ("LOCUS       NC_001422   5386 bp ss-DNA     circular PHG 06-JUL-2018\n", "GenBank"),
        ("ID   X56734; SV 1; linear; mRNA; STD; PLN; 1859 BP.\n", "EMBL"),
        ("@HD\tVN:1.6\nread\t0\tc\t5\t60\t4M\t*\t0\t0\tACGT\t*\n", "SAM"),
        ("read\t0\t1\t5\t60\t4M\t*\t0\t0\tACGT\t*\n", "SAM"),
        (gzip.compress(b"BAM\1" + bytes(40), mtime=0), "BAM"),
        (gzip.compress(b"BCF\2\2" + bytes(40), mtime=0), "BCF"),
        (b"CRAM\3" + bytes(40), "CRAM"),
        (struct.pack("<I", 0x8789F2EB) + bytes(60), "BigBed"),
        (struct.pack(">I", 0x8789F2EB) + bytes(60), "BigBed"),
        (struct.pack("<I", 0x888FFC26) + bytes(60), "bigWig"),
        (b"PK\3\4" + bytes(40), "Excel or ZIP"),
        (b"\xd0\xcf\x11\xe0" + bytes(40), "Excel"),
        ("contig\tstart\tend\n".encode("utf-16"), "UTF-16 text"),
        (b"BZh91AY&SY" + bytes(40), "bzip2"),
        (b"\xfd7zXZ" + bytes(40), "xz"),
        ("fixedStep chrom=c start=1 step=1\n1\n", "wiggle"),
        ('{"contig": "c"}\n', "JSON"),
        ("<!DOCTYPE html>\n", "HTML or XML"),
    ],
)
def test_other_formats_are_refused_by_name(refused, content, form):
    said = refused(content)
    assert f"the file is {form} (" in said or f"the file is {form} or" in said
    assert said.endswith(
        "; allowed: BED, GFF3, GTF, or TSV with a header line contig, start, end; "
        "plain text or gzip)"
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no regions in the file"),
        (b"# note\n\n", "no regions in the file"),
        (b"\x1f\x8b\x08\xff", "truncated or damaged gzip file"),
        (gzip.compress(BED.encode() * 100, mtime=0)[:-9], "truncated or damaged gzip file"),
        (b"c\t0\t5\nc\t0\t5\tm\xe9\n", "not UTF-8 text"),
        (bytes(range(256)), "not a text file"),
        (
            b"some words that are no table\n",
            "line 1: 'some words that are no table': the format is",
        ),
    ],
)
def test_a_file_without_regions_is_refused(refused, content, message):
    assert refused(content).startswith(message)


def test_bases_are_those_of_all_parts(tmp_path):
    path = tmp_path / "r.bed"
    path.write_text("c\t10\t90\tt\t0\t-\t10\t90\t0\t3\t5,10,20\t0,20,60\n")
    assert region_bases(str(path), RegionSettings()) == 80
    assert region_bases(str(path), RegionSettings(splice=True)) == 35


def test_a_file_is_read_once_per_version(tmp_path, monkeypatch):
    paths = [tmp_path / f"{number}.bed" for number in range(9)]
    opened, plain = [], regions.open_lines
    monkeypatch.setattr(regions, "_kept", {})
    monkeypatch.setattr(regions, "open_lines", lambda path: opened.append(path) or plain(path))

    def read(**settings):
        opened.clear()
        for path in paths:
            read_regions(str(path), RegionSettings(**settings))
        return len(opened)

    for path in paths:
        path.write_text("c\t0\t5\nc\t7\t9\n")
    assert [read(), read(), read(off_contig="clip"), read(rows="window")] == [9, 0, 9, 0]
    paths[3].write_text("c\t0\t5\nc\t7\t9\nc\t8\t9\n")
    assert read() == 1
    monkeypatch.setattr(regions, "_kept", {})
    monkeypatch.setattr(regions, "MOST_KEPT", 11)  # five files with two regions each
    assert [read(), read()] == [9, 5]


def test_regions_can_be_taken_by_index(tmp_path):
    path = tmp_path / "r.bed"
    path.write_text(
        "c\t10\t90\tt\t0\t-\t10\t90\t0\t3\t5,10,20\t0,20,60\n"
        "c\t0\t7\tu\t0\t+\t0\t7\t0\t1\t7\t0\n"
        "c\t100\t130\tv\t0\t+\t100\t130\t0\t2\t7,10\t0,20\n"
    )
    mine = read_regions(str(path), RegionSettings(splice=True))["c"].take(np.array([2, 0]))
    assert mine.name.tolist() == ["v", "t"]
    assert mine.edges.tolist() == [0, 2, 5]
    assert mine.part_start.tolist() == [100, 120, 10, 30, 70]
    assert mine.length.tolist() == [17, 35]


def test_files_of_regions_are_read_without_heavy_imports(tmp_path):
    (tmp_path / "r.bed").write_text("c\t0\t5\n")
    code = (
        "import sys\n"
        "from evo2_embed.genomes.fit import region_faults\n"
        "from evo2_embed.genomes.sample_sheet import Genome\n"
        "from evo2_embed.settings.windows import RegionSettings\n"
        "before = 'numpy' in sys.modules\n"
        "assert region_faults([Genome('g', 'g.fa', 'r.bed')], RegionSettings()) == [None]\n"
        "print(before, {'polars', 'pyarrow', 'pandas', 'torch'} & set(sys.modules))"
    )
    assert run_python(code, tmp_path) == "False set()"
