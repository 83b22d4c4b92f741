"""Bundles with genomes that cannot be used: which are left out, and what the others become."""

import errno
import gzip
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from evo2_embed.chunk import chunk_table, cut_contigs
from evo2_embed.chunk.chunk_table import chunk_bundle
from evo2_embed.genomes import fasta
from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.io.errors import InputErrors, MachineError
from runs import random_bases, write_fasta
from variant_files import vcf_of

LAST_LETTER = "".join(f">c{n}\n{random_bases(450, n)}\n" for n in range(3)) + ">p\nMKVLE\n"
HALF = gzip.compress(f">a\n{random_bases(5000, 1)}\n".encode())
# By name of the file: its content, and what is said of it.
BAD = {
    "half.fa.gz": (HALF[: len(HALF) // 2], "cut off or damaged"),
    "empty.fa.gz": (gzip.compress(b""), "no line starts with '>'"),
    "page.fa.gz": (b"<!DOCTYPE html>\r\n<title>404</title>", "is named like a gzip file but"),
    "page.fa": (b"\xef\xbb\xbf<html>\r\n<body>Not found</body></html>\r\n", "text before"),
    "utf16.fa": (">a\nACGT\n".encode("utf-16"), "not a FASTA file in UTF-8"),
    "last.fa": (LAST_LETTER.encode(), "record 'p': 'L' at base 4 is not a nucleotide"),
    "dup.fa": (b">Hong Kong/1\nACGT\n>Hong Kong/2\nACGT\n", "record name 'Hong' occurs twice"),
    "short.fa": (b">a\nACG\n>b\nAC\n", "no window is left to embed (2 contig shorter"),
}


@pytest.fixture
def chunk(complete, tmp_path):
    """A function that chunks a bundle: the rows of its table, and its metadata."""

    def chunk(genomes, policy="skip", variants=None, regions=None, threads=2, **windows):
        sections = complete(
            windows={"min_length": 4, **windows}, regions=regions or {}, variants=variants or {}
        )
        metadata = chunk_bundle(
            genomes,
            sections.windows.to_dict(),
            "indexes",
            "out/chunks.parquet",
            1,
            threads,
            regions=None if regions is None else sections.regions.to_dict(),
            variants=None if variants is None else sections.variants.to_dict(),
            on_bad_genome=policy,
        )
        return pq.read_table("out/chunks.parquet").to_pylist(), metadata

    return chunk


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Contigs are measured one after the other, so rows come before the fault of a later one."""
    monkeypatch.setattr(cut_contigs, "BLOCK", 400)


@pytest.fixture
def genomes(tmp_path):
    """Good genomes, the bad ones between them."""
    good = [
        Genome(name, write_fasta(tmp_path / f"{name}.fa", [("c", random_bases(length, 7))]))
        for name, length in (("first", 700), ("second", 300), ("third", 450))
    ]
    bad = []
    for name, (content, _) in BAD.items():
        (tmp_path / name).write_bytes(content)
        bad.append(Genome(name, str(tmp_path / name)))
    return [good[0], *bad[:4], good[1], *bad[4:], good[2]]


def is_good(genome):
    return genome.name not in BAD


def test_bad_genomes_are_left_out_and_the_table_is_that_of_the_others(chunk, genomes):
    rows, metadata = chunk(genomes, strands="both")
    assert {row["genome"] for row in rows} == {"first", "second", "third"}
    assert list(metadata["skipped"]) == list(BAD)
    for name, (_, said) in BAD.items():
        assert said in metadata["skipped"][name]
        assert metadata["genomes"][name] == {}
    assert [entry["genome"] for entry in metadata["inputs"]] == [g.name for g in genomes]
    alone, others = chunk(list(filter(is_good, genomes)), strands="both")
    assert rows == alone
    assert others["n_stretches"] == metadata["n_stretches"]
    assert "skipped" not in others


def test_all_bad_genomes_of_a_bundle_are_named_at_once(chunk, genomes):
    with pytest.raises(InputErrors) as error:
        chunk(genomes, "stop")
    assert len(error.value.lines) == len(BAD)
    for line, (_, said) in zip(error.value.lines, BAD.values(), strict=True):
        assert said in line
    assert not list(Path("out").glob("*"))


def test_a_bundle_of_bad_genomes_is_a_table_without_rows(chunk, genomes):
    rows, metadata = chunk([genome for genome in genomes if not is_good(genome)])
    assert rows == []
    assert metadata["n_stretches"] == 0


def test_a_genome_with_a_bad_file_of_regions_or_variants_is_left_out(chunk, genomes, tmp_path):
    path = genomes[0].fasta
    (tmp_path / "off.bed").write_text("c\t0\t100\nc\t600\t701\n")
    (tmp_path / "other.bed").write_bytes(b"chrX\t0\t100\r\n")
    (tmp_path / "cut.vcf").write_text(vcf_of([("c", 5, "x", "ACGTT", "A"), ("c", 9, "y")]))
    (tmp_path / "other.vcf").write_text(vcf_of([("chrX", 5, ".", "A", "C")]))
    bad = {
        "off": (Genome("off", path, str(tmp_path / "off.bed")), "off.bed: line 2: end 701"),
        "other": (Genome("other", path, str(tmp_path / "other.bed")), "no record 'chrX'"),
        "cut": (Genome("cut", path, variants=str(tmp_path / "cut.vcf")), "cannot be read as VCF"),
        "vcf": (Genome("vcf", path, variants=str(tmp_path / "other.vcf")), "no record 'chrX'"),
    }
    mixed = [*(genome for genome, _ in bad.values()), genomes[0]]
    rows, metadata = chunk(mixed, regions={}, variants={"size": 100})
    assert {row["genome"] for row in rows} == {"first"}
    assert list(metadata["skipped"]) == list(bad)
    for name, (_, said) in bad.items():
        assert said in metadata["skipped"][name]


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EACCES, errno.ENOSPC])
def test_a_fault_of_the_machine_is_no_bad_genome(chunk, genomes, monkeypatch, number):
    def failing(path, *arguments):
        raise OSError(number, "failed")

    monkeypatch.setattr(fasta, "scan_index", failing)
    with pytest.raises(MachineError, match="failed"):
        chunk(genomes)
    assert not list(Path("out").glob("*"))


def test_a_fault_in_the_last_record_costs_one_more_pass_and_others_none(
    chunk, genomes, monkeypatch
):
    opened = []
    open_fasta = chunk_table.open_fasta

    def noted(path, *arguments, **options):
        opened.append(Path(path).name)
        return open_fasta(path, *arguments, **options)

    monkeypatch.setattr(chunk_table, "open_fasta", noted)
    chunk([genome for genome in genomes if genome.name != "last.fa"])
    assert len(opened) == len(set(opened)) == len(genomes) - 1
    opened.clear()
    chunk(genomes)
    assert sorted(opened) == sorted(
        [*(Path(genome.fasta).name for genome in genomes), "first.fa", "second.fa", "third.fa"]
    )
