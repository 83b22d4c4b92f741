"""Unusual or broken files: read correctly, or refused in a line that names the fault."""

import bz2
import gzip
import lzma
import os
import re
import tempfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from Bio import bgzf
from evo2_embed.chunk import cut_contigs
from evo2_embed.chunk.chunk_table import chunk_bundle
from evo2_embed.genomes.fasta import fetch_tokens, open_fasta
from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.genomes.sheet_files import file_faults
from evo2_embed.io.errors import InputError
from evo2_embed.io.tables import CHUNKS, PACKS, open_table, table_metadata
from evo2_embed.pack.pack_shard import pack_shard
from evo2_embed.pack.read import read_packs
from hypothesis import given, settings
from hypothesis import strategies as st
from runs import random_bases, write_fasta

RECORDS = [("b one", random_bases(450, 1)), ("a", random_bases(130, 2))]


def bgzip(path, content, block=65_280):
    """Write bgzip in blocks of a size; 65,280 is that of the program `bgzip`."""
    with bgzf.BgzfWriter(str(path), "wb") as handle:
        for start in range(0, len(content), block):
            handle._write_block(content[start : start + block])
    return path


def write_as(kind, path, content):
    if kind == "bgzip":
        return bgzip(path.with_suffix(".fa.gz"), content)
    path.write_bytes(gzip.compress(content) if kind == "gzip" else content)
    return path


def records_of(path, index, full_names=False):
    """Names and sequences as the library reads them, whole and 7 bases at a time."""
    result = []
    with open_fasta(str(path), str(index), rebuild=True, full_names=full_names) as fasta:
        for name, entry in fasta.index.items():
            edges = [*range(0, entry.rlen, 7), entry.rlen]
            parts = [
                fetch_tokens(fasta, name, start, end, "upper", "x").tobytes()
                for start, end in zip(edges[:-1], edges[1:], strict=True)
            ]
            whole = fetch_tokens(fasta, name, 0, entry.rlen, "upper", "x").tobytes()
            assert b"".join(parts) == whole
            result.append((name, whole.decode()))
    return result


@pytest.fixture
def run(complete, tmp_path):
    """A function that chunks and packs a FASTA file: the rows of both tables."""

    def run(fasta, pack_only=False, **windows):
        sections = complete(windows=windows)
        genomes = [Genome("g", str(fasta))]
        if not pack_only:
            chunk_bundle(genomes, sections.windows.to_dict(), "indexes", "out/chunks.parquet", 1)
        packing = {"packing": sections.packing.to_dict(), "code": 1}
        pack_shard(genomes, "out/chunks.parquet", 0, 1, packing, "indexes", "out/packs.parquet")
        rows = read_packs(open_table("out/packs.parquet", PACKS), "out/packs.parquet")
        return pq.read_table("out/chunks.parquet").to_pylist(), list(rows)

    return run


def refused(run, path, **windows):
    """The message of a refusal, which is one line, names the file and leaves nothing."""
    with pytest.raises(InputError) as error:
        run(path, **windows)
    assert "\n" not in str(error.value)
    assert str(error.value).startswith(f"{path}: ")
    assert not list(Path("out").glob("*"))
    return str(error.value)


LINE_ENDS = st.sampled_from(["\n", "\r\n"])
RECORD = st.tuples(
    st.sampled_from(["a", "ü", "x y", "é é|1"]),
    st.lists(st.tuples(st.text("ACGT", max_size=9), LINE_ENDS), min_size=1, max_size=6).filter(
        lambda lines: any(text for text, _ in lines)
    ),
    LINE_ENDS,
)


@given(records=st.lists(RECORD, min_size=1, max_size=3), last=st.booleans())
@settings(max_examples=150, deadline=None)
def test_however_lines_are_broken_and_ended_the_same_bases_are_read(records, last):
    text, wanted = "", []
    for number, (name, lines, end) in enumerate(records):
        text += f">{number}{name}{end}" + "".join(bases + end for bases, end in lines)
        wanted.append((f"{number}{name}", "".join(bases for bases, _ in lines)))
    content = (text if last else text.rstrip("\r\n")).encode()
    with tempfile.TemporaryDirectory() as folder:
        for kind in ("plain", "gzip", "bgzip"):
            path = write_as(kind, Path(folder) / f"{kind}.fa", content)
            index = Path(folder) / f"{kind}.fai"
            assert records_of(path, index, full_names=True) == wanted, kind
            first = [(name.split()[0], bases) for name, bases in wanted]
            assert records_of(path, index) == first, kind


@pytest.mark.parametrize("block", [65_280, 65_536, 997])
def test_bgzip_blocks_of_any_size_are_read_also_across_their_edges(tmp_path, block):
    sequence = random_bases(200_000, 3)
    path = bgzip(tmp_path / "g.fa.gz", f">a\n{sequence}\n".encode(), block)
    edges = range(block - len(">a\n"), len(sequence), block)
    with open_fasta(str(path), str(tmp_path / "i" / "g.fai")) as fasta:
        for start in (edge + shift for edge in edges for shift in (-1, 0, 1)):
            end = min(start + 500, len(sequence))
            tokens = fetch_tokens(fasta, "a", start, end, "upper", "x")
            assert tokens.tobytes().decode() == sequence[start:end]


@pytest.mark.parametrize("kind", ["gzip", "bgzip"])
def test_a_compressed_file_cut_anywhere_is_refused(run, tmp_path, kind):
    content = b">a\n" + b"\n".join([random_bases(60, i).encode() for i in range(100)]) + b"\n"
    whole = write_as(kind, tmp_path / "w.fa", content).read_bytes()
    path = tmp_path / "cut.fa.gz"
    for size in (12, 18, 100, len(whole) // 2, len(whole) - 29, len(whole) - 28, len(whole) - 5):
        path.write_bytes(whole[:size])
        assert "cut off or damaged" in refused(run, path), size
    path.write_bytes(whole + b"junk")
    assert "cut off or damaged" in refused(run, path)


@pytest.mark.parametrize("kind", ["plain", "gzip", "bgzip"])
@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\n\n", "no line starts with '>'"),
        (b"hello\nworld\n", "not a FASTA file (there is text before"),
        (b"ACGT\nACGTA\n>a\nACGT\n", "not a FASTA file (there is text before"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\xff", "not a FASTA file"),
        (">a\nACGT\n".encode("utf-16"), "not a FASTA file in UTF-8"),
        (b">M\xfcller\nACGT\n", "not a FASTA file in UTF-8 or ASCII text (it has the byte 0xfc)"),
        (b">a\rACGT\rACGT\r", "old Mac"),
        (b">a\nACGT\rACGT\n", "old Mac"),
        (b">a x\nACGT\n>a y\nACG\nACGT\n", "record name 'a' occurs twice"),
        (b">a\nACGT\n> \nACGT\n", "a '>' line without a record name (line 3)"),
        (b">a\nACGT\n;note\nACGT\n", "';' at base 5 is not a nucleotide letter"),
        (b">p\nMKVLAAGE\n", "record 'p': 'L' at base 4 is not a nucleotide letter"),
        (b">p\nACGT\n>q\nACGTAC.T\n", "record 'q': '.' at base 7"),
        (b">p\nACGT\nACGTACGT\nAC\tT\n", "record 'p': 'tab' at base 15"),
        (b">p\nACGT \nACGT \n", "record 'p': 'blank' at base 5"),
        (b">p\nACG>ACGT\n", "record 'p': '>' at base 4"),
        (b">p\nACG\xc3\xa9ACGT\n", "record 'p': '0xc3' at base 4"),
    ],
)
def test_a_broken_file_is_refused_however_it_is_compressed(run, tmp_path, kind, content, said):
    assert said in refused(run, write_as(kind, tmp_path / "bad.fa", content))


def test_a_header_without_a_name_is_told_by_its_line(run, tmp_path):
    (tmp_path / "bad.fa").write_text(">a\nACGT\n>\nACGT\n")
    assert "(line 3)" in refused(run, tmp_path / "bad.fa")


GISAID = (
    ">hCoV-19/Hong Kong/HKU-1/2020|EPI_ISL_1|2020-01-01\nACGTACGTAC\nGTA\n"
    ">hCoV-19/Hong  Kong/HKU-2/2020|EPI_ISL_2|\t2020\nTTGA\n>hCoV-19/Côte d'Ivoire/3\nGGC\n"
)


@pytest.mark.parametrize("kind", ["plain", "gzip", "bgzip"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_names_with_blanks_are_kept_if_wanted(complete, tmp_path, kind, end):
    windows = complete().windows.to_dict()
    path = write_as(kind, tmp_path / "g.fa", GISAID.replace("\n", end).encode())
    with pytest.raises(InputError, match="'hCoV-19/Hong' occurs twice .*record_names: full"):
        chunk_bundle([Genome("g", str(path))], windows, "indexes", "out/chunks.parquet", 1)
    genome = Genome("g", str(path), full_names=True)
    assert Genome(*genome.row) == genome
    chunk_bundle([genome], windows, "indexes", "out/chunks.parquet", 1)
    table = pq.read_table("out/chunks.parquet")
    assert table["contig"].to_pylist() == [
        "hCoV-19/Hong Kong/HKU-1/2020|EPI_ISL_1|2020-01-01",
        "hCoV-19/Hong Kong/HKU-2/2020|EPI_ISL_2| 2020",
        "hCoV-19/Côte d'Ivoire/3",
    ]
    packing = {"packing": complete().packing.to_dict(), "code": 1}
    pack_shard([genome], "out/chunks.parquet", 0, 1, packing, "indexes", "out/packs.parquet")
    (row,) = read_packs(open_table("out/packs.parquet", PACKS), "out/packs.parquet")
    assert row["tokens"].tobytes() == b"ACGTACGTACGTATTGAGGC"


def test_full_names_must_differ_too(complete, tmp_path):
    path = tmp_path / "g.fa"
    path.write_text(">a b\nACGT\n>a  b\nAC\n")
    with pytest.raises(InputError, match="record name 'a b' occurs twice .names must differ."):
        chunk_bundle(
            [Genome("g", str(path), full_names=True)],
            complete().windows.to_dict(),
            "indexes",
            "out/chunks.parquet",
            1,
        )


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        (
            "g.fa.xz",
            lzma.compress(b">a\nACGT\n"),
            r"with xz .*: xz -dc .*/g.fa.xz \| bgzip > g.fa.gz",
        ),
        ("g.fa.gz", lzma.compress(b">a\nACGT\n"), "with xz .*: xz -dc"),
        ("my g.fa.bz2", bz2.compress(b">a\nACGT\n"), r"bzip2 .*my g.fa.bz2' \| bgzip > 'my g"),
        ("g.fa.zst", b"\x28\xb5\x2f\xfd1234", "with Zstandard .*: zstd -dc"),
        ("g.zip", b"PK\3\0041234", "with ZIP .*: unzip -p"),
        ("page.fa.gz", b"\xef\xbb\xbf\r\n<html>404</html>", "seems to be a web page: download it"),
        ("error.fna.gz", b"<!DOCTYPE html>", "seems to be a web page: download it again"),
    ],
)
def test_what_is_no_gzip_file_is_refused_by_name(run, tmp_path, name, content, said):
    (tmp_path / name).write_bytes(content)
    assert re.search(said, refused(run, tmp_path / name))


@pytest.mark.parametrize("kind", ["plain", "gzip", "bgzip"])
@pytest.mark.parametrize(
    "content",
    [
        b">e\n>a x\nACGTAC\nGT\n>f\n>b\nTT\n>g\n",
        b">e\r\n\r\n>a\r\nACGTACGT\r\n>f y\r\n>b\r\nTT\r\n>g",
        b"\xef\xbb\xbf>e\n\n\n>a\nACG\nTACGT\n>f\n>b\nTT\n>g\n\n",
    ],
)
def test_records_without_bases_are_counted_as_too_short(run, tmp_path, kind, content):
    path = write_as(kind, tmp_path / "g.fa", content)
    rows, packs = run(path)
    assert [(row["contig"], row["end"]) for row in rows] == [("a", 8), ("b", 2)]
    assert b"".join(row["tokens"].tobytes() for row in packs) == b"ACGTACGTTT"
    (counts,) = table_metadata(open_table("out/chunks.parquet", CHUNKS))["genomes"].values()
    assert counts["contigs"] == 5
    assert counts["skipped: contig shorter than min_length"] == 3


def test_missing_and_empty_files_and_folders_are_told_before_any_job(tmp_path):
    (tmp_path / "empty.fa").touch()
    files = {"gone": "no.fa", "empty": "empty.fa", "folder": "", "long": "x" * 5000}
    genomes = [Genome(name, str(tmp_path / file)) for name, file in files.items()]
    lines = [line for genome in genomes for line in file_faults("sheet.tsv", genome)]
    assert [line.rsplit(": ", 1)[1] for line in lines] == [
        "No such file or directory",
        "the file is empty",
        "not a file",
        "File name too long",
    ]
    assert all(f"sheet.tsv: genome '{n}'" in line for n, line in zip(files, lines, strict=True))


@pytest.mark.parametrize("kind", ["plain", "gzip", "bgzip"])
def test_a_byte_order_mark_is_no_base(run, tmp_path, kind):
    path = write_as(kind, tmp_path / "g.fa", b"\xef\xbb\xbf>a\nACGT\n")
    rows, _ = run(path)
    assert [(row["contig"], row["start"], row["end"]) for row in rows] == [("a", 0, 4)]


@pytest.mark.parametrize(
    "name",
    ["a|b/c", "../../etc", "'quoted\"", "$(touch;x)", "génome→1", "{a}", "a\\n%s", "x" * 10_000],
    ids=lambda name: name[:12],
)
def test_any_record_name_reaches_the_packs(run, tmp_path, name):
    path = write_fasta(tmp_path / "g.fa", [(f"{name} more", "ACGT" * 70), ("z", "TT")])
    _, packs = run(path)
    assert [c for row in packs for c in row["contig"]] == [name, name, "z"]
    assert [row["tokens"].tobytes() for row in packs] == [b"ACGT" * 70 + b"TT"]
    # No part of a name becomes part of a path.
    assert {path.name for path in tmp_path.iterdir()} == {
        *("g.fa", "any.fa", "genomes.tsv", "indexes", "out")
    }


def test_long_names_are_cut_in_messages(run, tmp_path):
    path = write_fasta(tmp_path / "g.fa", [("x" * 10_000, "ACGT-")])
    assert len(refused(run, path).removeprefix(str(tmp_path))) < 300


def test_an_index_is_never_used_for_another_version_of_its_file(run, tmp_path):
    """Also when the new version looks older, as one that was moved here does."""
    path = tmp_path / "g.fa"
    versions = [
        ">a\nACGTACGT\nACGT\n",
        ">a\nACGTAC\nGTACGT\n>b\nTTTT\n",
        ">a\nACG\nTACGTAAAA\nC\n",
        ">a\nGG\n",
    ]
    for age, text in enumerate(versions):
        path.write_text(text)
        os.utime(path, (1_000_000_000 - age * 1000,) * 2)
        _, packs = run(path)
        bases = "".join(line for line in text.splitlines() if line[0] != ">")
        assert b"".join(row["tokens"].tobytes() for row in packs).decode() == bases


@pytest.mark.parametrize("older", [False, True])
@pytest.mark.parametrize(
    "changed", [">a\nACGTACGA\n", ">a\nACGT\n", ">a\nAC\nGTACGA\n", ">a\nACGT*CGT\n", "x"]
)
def test_a_file_that_changed_after_chunking_is_refused_by_name(run, tmp_path, changed, older):
    path = tmp_path / "g.fa"
    path.write_text(">a\nACGTACGT\n")
    run(path)
    Path("out/packs.parquet").unlink()
    path.write_text(changed)
    if older:
        os.utime(path, (1_000_000_000,) * 2)
    else:
        os.utime("indexes/g.fai", (1_000_000_000,) * 2)
    with pytest.raises(InputError) as error:
        run(path, pack_only=True)
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)
    assert [p.name for p in Path("out").iterdir()] == ["chunks.parquet"]


def test_a_record_that_is_gone_after_chunking_is_named(run, tmp_path):
    path = tmp_path / "g.fa"
    path.write_text(">a\nACGTACGT\n")
    run(path)
    path.write_text(">b\nACGTACGT\n")
    os.utime("indexes/g.fai", (1_000_000_000,) * 2)
    with pytest.raises(InputError, match="record 'a': cannot be read"):
        run(path, pack_only=True)


def test_a_genome_without_a_window_says_why(run, tmp_path):
    path = write_fasta(tmp_path / "g.fa", [("a", "N" * 40), ("b", "ACGT")])
    with pytest.raises(InputError, match="no window is left to embed") as error:
        run(path, min_length=50)
    assert "2 contig shorter than min_length" in str(error.value)
    assert str(path) in str(error.value)
    assert not list(Path("out").glob("*"))


def test_a_genome_whose_windows_a_policy_skips_is_counted_and_no_error(run, tmp_path):
    path = write_fasta(tmp_path / "g.fa", [("a", "N" * 500), ("b", "ACGT")])
    rows, packs = run(path, min_length=50, ambiguous={"policy": "skip", "max_share": 0.1})
    assert rows == packs == []
    (counts,) = table_metadata(open_table("out/chunks.parquet", CHUNKS))["genomes"].values()
    assert counts == {
        "bases": 504,
        "chunks": 0,
        "contigs": 2,
        "skipped: ambiguous share above max_share": 3,
        "skipped: contig shorter than min_length": 1,
        "tokens": 0,
    }


@given(
    sequence=st.text("ACGTNRacgtn", min_size=1, max_size=300),
    size=st.integers(1, 60),
    stride=st.integers(1, 60),
    block=st.integers(1, 100),
    last=st.sampled_from(["keep", "shift"]),
)
@settings(max_examples=60, deadline=None)
def test_shares_are_those_of_a_plain_count_whatever_the_block(sequence, size, stride, block, last):
    windows = {"size": size, "stride": stride, "last": last, "min_length": 1, "strands": "both"}
    windows |= {"lower_case": "upper", "ambiguous": {"policy": "keep", "max_share": 0.1}}
    windows |= {"context": {"span": "size", "min": 0}}
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(cut_contigs, "BLOCK", block)
        path = write_fasta(Path(folder) / "g.fa", [("a", sequence)])
        chunk_bundle([Genome("g", path)], windows, f"{folder}/i", f"{folder}/c.parquet", 1)
        rows = pq.read_table(f"{folder}/c.parquet").to_pylist()
    assert {row["strand"] for row in rows} == {"+", "-"}
    for row in rows:
        bases = sequence[row["start"] : row["end"]].upper()
        assert row["gc"] == np.float32(sum(b in "GC" for b in bases) / len(bases))
        assert row["ambiguous"] == np.float32(sum(b not in "ACGT" for b in bases) / len(bases))
