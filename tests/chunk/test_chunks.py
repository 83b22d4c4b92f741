"""FASTA to chunk tables: what is cut, what is counted, and what is refused."""

import gzip
import io
import tarfile
import zlib
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from Bio import bgzf
from evo2_embed.chunk import cut_contigs
from evo2_embed.chunk.chunk_table import chunk_bundle
from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.io.errors import InputError
from runs import random_bases, run_python, write_fasta


@pytest.fixture
def chunk(complete, tmp_path):
    """A function that chunks a FASTA file: the table's rows, and its counts."""

    def chunk(fasta, regions=None, **windows):
        settings = complete(windows=windows).windows.to_dict()
        genome = Genome("g", str(fasta), regions)
        section = {"rows": "window"} if regions else None
        metadata = chunk_bundle(
            [genome], settings, "indexes", "out/chunks.parquet", 1, regions=section
        )
        return pq.read_table("out/chunks.parquet").to_pylist(), metadata["genomes"]["g"]

    return chunk


def refused(chunk, fasta, **windows):
    """The message of a refusal, which is one line, names the file and leaves nothing."""
    with pytest.raises(InputError) as error:
        chunk(fasta, **windows)
    assert "\n" not in str(error.value)
    assert Path(fasta).name in str(error.value)
    assert not list(Path("out").glob("*"))
    return str(error.value)


RECORDS = [("b one", random_bases(450, 1)), ("a", random_bases(130, 2))]


def test_rows_are_windows_in_file_order_with_their_shares(chunk, tmp_path):
    rows, counts = chunk(write_fasta(tmp_path / "g.fa", RECORDS), strands="both")
    found = [(r["contig"], r["start"], r["end"], r["strand"]) for r in rows]
    windows = [("b", 0, 200), ("b", 200, 400), ("b", 400, 450), ("a", 0, 130)]
    assert found == [(*window, strand) for window in windows for strand in "+-"]
    sequences = {name.split()[0]: sequence for name, sequence in RECORDS}
    for number, row in enumerate(rows):
        bases = sequences[row["contig"]][row["start"] : row["end"]]
        assert row["chunk"] == number
        assert row["length"] == len(bases)
        assert row["gc"] == pytest.approx((bases.count("G") + bases.count("C")) / len(bases))
        assert row["ambiguous"] == 0
        assert row["crc32"] == zlib.crc32(bases.encode())
    assert counts == {"contigs": 2, "bases": 580, "chunks": 8, "tokens": 1160}


def written_as(kind, tmp_path, text):
    path = tmp_path / f"g_{kind}.fa"
    if kind in ("gzip", "bgzip"):
        path = path.with_suffix(".fa.gz")
        opener = gzip.open if kind == "gzip" else bgzf.BgzfWriter
        with opener(str(path), "wb") as handle:
            handle.write(text.encode())
        return path
    lines = text.splitlines()
    if kind == "gzip, no suffix":
        path.write_bytes(gzip.compress(text.encode()))
    elif kind == "CRLF":
        path.write_bytes(text.replace("\n", "\r\n").encode())
    elif kind == "no last newline":
        path.write_text(text.rstrip("\n"))
    elif kind == "one line a record":
        path.write_text(
            text.replace("\n", "").replace(">b one", ">b one\n").replace(">a", "\n>a\n")
        )
    elif kind == "lines of unequal length":
        path.write_text("\n".join([lines[0], lines[1][:10], lines[1][10:], *lines[2:]]) + "\n")
    elif kind == "blank lines":
        path.write_text("\n" + "\n".join([*lines[:2], "", *lines[2:], "", ""]))
    elif kind == "lower case":
        path.write_text("".join(x if x[0] == ">" else x.lower() for x in text.splitlines(True)))
    else:
        path.write_text(text)
    return path


@pytest.mark.parametrize(
    "kind",
    [
        "bgzip",
        "gzip",
        "gzip, no suffix",
        "CRLF",
        "no last newline",
        "one line a record",
        "lines of unequal length",
        "blank lines",
        "lower case",
    ],
)
def test_all_ways_of_writing_a_file_give_the_same_chunks(chunk, tmp_path, kind):
    text = Path(write_fasta(tmp_path / "plain.fa", RECORDS)).read_text()
    wanted = chunk(tmp_path / "plain.fa")
    path = written_as(kind, tmp_path, text)
    before = set(tmp_path.glob("g_*"))
    assert chunk(path) == wanted
    assert set(tmp_path.glob("g_*")) == before  # no index beside the file


@pytest.mark.parametrize("kind", ["plain", "bgzip", "gzip", "CRLF", "no last newline"])
@pytest.mark.parametrize("span", ["size", 500])
def test_hundreds_of_short_records_are_one_row_group(chunk, tmp_path, monkeypatch, kind, span):
    monkeypatch.setattr(cut_contigs, "BLOCK", 10_000)
    # Some are too short, and lie between the others; one is too long to be cut with others.
    sizes = [(7 * i) % 400 + 1 for i in range(300)]
    sizes[100] = 20_000
    records = [(f"r{i}", random_bases(size, i % 50)) for i, size in enumerate(sizes)]
    records[7] = ("r7", "RYKM" * 20 + "acgtn")
    path = written_as(kind, tmp_path, Path(write_fasta(tmp_path / "g.fa", records)).read_text())
    context = {"span": span, "min": 0}
    rows, counts = chunk(path, size=150, stride=150, strands="-", min_length=60, context=context)
    wanted = [
        (name, start, bases[start : start + 150])
        for name, bases in ((name, bases.upper()) for name, bases in records)
        for start in range(0, len(bases), 150)
        if len(bases[start : start + 150]) >= 60
    ]
    assert [(row["contig"], row["start"], row["crc32"]) for row in rows] == [
        (name, start, zlib.crc32(bases.encode())) for name, start, bases in wanted
    ]
    for row, (_, _, bases) in zip(rows, wanted, strict=True):
        assert row["gc"] == pytest.approx(sum(map(bases.count, "GC")) / len(bases))
    short = sum(len(bases) < 60 for _, bases in records)
    assert counts["skipped: contig shorter than min_length"] == short
    assert pq.read_metadata("out/chunks.parquet").num_row_groups == 1


def test_faults_of_short_records_name_the_record_and_the_base(chunk, tmp_path):
    records = [(f"r{i}", "ACGT" * 20) for i in range(30)]
    records[20] = ("r20", "ACGT" * 10 + "E")
    message = refused(chunk, write_fasta(tmp_path / "g.fa", records))
    assert "record 'r20': 'E' at base 41 is not a nucleotide letter" in message
    records[20] = ("r20", "ACGT" * 10 + "N")
    path = write_fasta(tmp_path / "h.fa", records)
    message = refused(chunk, path, ambiguous={"policy": "error"})
    assert "record 'r20': ambiguous letter 'N' at base 41" in message


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "not a FASTA file"),
        (b"\x00\x01\x02\xff\xfe" * 50, "not a FASTA file"),
        (b"hello\n>a\nACGT\n", "text before the first"),
        (b"just text\n", "text before the first"),
        (b">a\n>b\n", "no window is left to embed (2 contig shorter than min_length)"),
        (b">a\nACGT\n>a\nACGT\n", "record name 'a' occurs twice"),
        (b">\nACGT\n", "without a record name"),
        (b">p\nMKVLAAGE\n", "'L' at base 4 is not a nucleotide letter"),
        (b">p\nACGUACGU\n", "T for U"),
        (b">p\nACGT*\n", "'*' at base 5"),
        (b">p\nAC-GT\n", "'-' at base 3"),
        (b">p\nAC1GT\n", "'1' at base 3"),
        (b">p\nAC GT\n", "'blank' at base 3"),
        (b">p\nACGT\n>q\nACGT\xff\n", "not a FASTA file"),
    ],
)
def test_what_is_no_nucleotide_fasta_is_refused_by_name(chunk, tmp_path, content, said):
    path = tmp_path / "bad.fa"
    path.write_bytes(content)
    assert said.lower() in refused(chunk, path).lower()


def tar_of(content):
    """A tar archive with one file."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        member = tarfile.TarInfo("g.fa")
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    return archive.getvalue()


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"@r1 x\nACGT\n+\nII>I\n@r2\nACGT\n+\n>III\n", "FASTQ; convert it to FASTA"),
        (b"@HD\tVN:1.6\n", "SAM; samtools fasta"),
        (b"BAM\1\xff\xfe\0\0", "BAM or CRAM; samtools fasta"),
        (b"LOCUS       NC_1 8 bp\nORIGIN\n 1 acgtacgt\n//\n", "GenBank; download the record as"),
        (b"ID   X56734; SV 1\n", "EMBL; download the record as FASTA"),
        (b"##gff-version 3\n##FASTA\n>a\nACGT\n", "GFF; it belongs in the column regions"),
        (b"\n##fileformat=VCFv4.3\n", "VCF; it belongs in the column variants"),
        (tar_of(b">a\nACGT\n"), "a tar archive; extract its files"),
    ],
)
def test_files_of_other_formats_are_named(chunk, tmp_path, packed, content, said):
    path = tmp_path / ("bad.fa.gz" if packed else "bad.fa")
    path.write_bytes(gzip.compress(content) if packed else content)
    message = refused(chunk, path)
    assert "not a FASTA file" in message
    assert f"it looks like {said}" in message
    assert len(message.splitlines()) == 1


def test_bad_gzip_files_are_refused(chunk, tmp_path):
    whole = gzip.compress(Path(write_fasta(tmp_path / "g.fa", RECORDS)).read_bytes())
    (tmp_path / "cut.fa.gz").write_bytes(whole[: len(whole) // 2])
    assert "cut off or damaged" in refused(chunk, tmp_path / "cut.fa.gz")
    (tmp_path / "plain.fa.gz").write_bytes(b">a\nACGT\n")
    assert "is not one" in refused(chunk, tmp_path / "plain.fa.gz")


def test_soft_masked_bases_are_upper_case_unless_kept(chunk, tmp_path):
    path = write_fasta(tmp_path / "g.fa", [("a", "acgtACGT")])
    assert chunk(path)[0][0]["crc32"] == zlib.crc32(b"ACGTACGT")
    assert chunk(path, lower_case="keep")[0][0]["crc32"] == zlib.crc32(b"acgtACGT")


def test_ambiguous_letters_are_kept_skipped_or_refused(chunk, tmp_path):
    path = write_fasta(tmp_path / "g.fa", [("a", "ACGT" * 50 + "N" * 100 + "RYgc" * 25)])
    rows, _ = chunk(path)
    assert [row["ambiguous"] for row in rows] == [0, 0.75]
    rows, counts = chunk(path, ambiguous={"policy": "skip", "max_share": 0.5})
    assert [row["start"] for row in rows] == [0]
    assert counts["skipped: ambiguous share above max_share"] == 1
    # A share of exactly max_share is kept.
    rows, _ = chunk(path, ambiguous={"policy": "skip", "max_share": 0.75})
    assert [row["start"] for row in rows] == [0, 200]
    Path("out/chunks.parquet").unlink()
    message = refused(chunk, path, ambiguous={"policy": "error"})
    assert "ambiguous letter 'N' at base 201" in message


def test_what_is_too_short_is_counted_and_all_gone_is_refused(chunk, tmp_path):
    path = write_fasta(tmp_path / "g.fa", [("a", "ACGT" * 60), ("b", "ACGT" * 5)])
    _, counts = chunk(path, min_length=50)
    assert counts["skipped: window shorter than min_length"] == 1
    assert counts["skipped: contig shorter than min_length"] == 1
    Path("out/chunks.parquet").unlink()
    short = write_fasta(tmp_path / "short.fa", [("a", "ACGT" * 5)])
    assert "no window is left" in refused(chunk, short, min_length=50)


def test_regions_are_windows_of_their_own(chunk, tmp_path):
    path = write_fasta(tmp_path / "g.fa", RECORDS)
    bed = tmp_path / "r.bed"
    bed.write_text("b\t300\t320\tsecond\t0\t-\nb\t10\t260\tfirst\na\t0\t130\n")
    rows, counts = chunk(path, str(bed), strands="both")
    found = [(r["contig"], r["start"], r["end"], r["strand"], r["name"]) for r in rows]
    assert found == [
        ("b", 10, 210, "+", "first"),
        ("b", 10, 210, "-", "first"),
        ("b", 210, 260, "+", "first"),
        ("b", 210, 260, "-", "first"),
        ("b", 300, 320, "-", "second"),
        ("a", 0, 130, "+", None),
        ("a", 0, 130, "-", None),
    ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("b\t0\t451", "line 1: end 451 is past the end of record 'b' (450 bases)"),
        ("zzz\t0\t10", "line 1: no record 'zzz'"),
        ("b\t10\t10", "line 1: start 10 and end 10"),
        ("b\tx\t10", "line 1: not BED"),
        ("b\t1\t10\tn\t0\t?", "line 1: strand '?'"),
        ("# nothing", "no regions"),
    ],
)
def test_bad_regions_are_refused_by_line(chunk, tmp_path, line, said):
    (tmp_path / "r.bed").write_text(line + "\n")
    path = write_fasta(tmp_path / "g.fa", RECORDS)
    with pytest.raises(InputError) as error:
        chunk(path, str(tmp_path / "r.bed"))
    assert said in str(error.value)
    assert "r.bed" in str(error.value)


PEAK = """
from pathlib import Path
from evo2_embed.chunk import chunk_table, cut_contigs
from evo2_embed.genomes import lines
from evo2_embed.genomes.sample_sheet import Genome

cut_contigs.BLOCK = 500_000  # bases in memory at once
lines._LONG = 1 << 20  # longer lines are broken first


def peak(path):
    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    windows = {"stride": 8192, "strands": "both"}
    chunk_table.chunk_bundle([Genome("g", path)], windows, "indexes", "chunks.parquet", 1)
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return int(status["VmHWM"].split()[0]) / 1024


kinds = ("lines", "one line")
for kind in kinds:
    peak(f"{kind} 8.fa")  # libraries take memory at their first use
for kind in kinds:
    print(-peak(f"{kind} 8.fa") + peak(f"{kind} 20.fa"))
"""


def test_memory_does_not_grow_with_the_contig(tmp_path):
    """An array with one byte per base would be 12 MB larger for the longer contig."""
    line = random_bases(60, 1)
    for size in (8, 20):
        for kind, before, end in (("lines", "", "\n"), ("one line", ">tiny\nACGT\n", "")):
            with open(tmp_path / f"{kind} {size}.fa", "w") as handle:
                handle.write(f"{before}>chr1\n")
                for _ in range(size):
                    handle.write((line + end) * (1_000_000 // 60))
    growth = [float(number) for number in run_python(PEAK, tmp_path).split()]
    assert len(growth) == 2
    assert max(growth) < 6, growth
