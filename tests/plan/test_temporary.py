"""Temporary files: what is copied, how large the copies are, and the line if there is no space."""

import errno
import gzip

import pytest
from evo2_embed.genomes import fasta, lines
from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.io.errors import InputError
from evo2_embed.plan.bundles import Bundle
from evo2_embed.plan.temporary import temporary_bytes
from runs import random_bases, write_fasta


@pytest.fixture
def files(tmp_path):
    """By kind, a genome of 100,000 bases in lines of 60, or in one line."""
    bases = random_bases(100_000, 1)
    plain = tmp_path / "plain.fa"
    write_fasta(plain, [("x", bases)])
    long = tmp_path / "long.fa"
    long.write_text(f">x\n{bases}\n")
    packed = tmp_path / "packed.fa.gz"
    packed.write_bytes(gzip.compress(plain.read_bytes()))
    return {path.stem.split(".")[0]: path for path in (plain, long, packed)}


def bundles(*groups):
    return {
        str(number): Bundle(str(number), tuple(Genome(path.name, str(path)) for path in group), 1)
        for number, group in enumerate(groups)
    }


def test_copies_are_made_of_gzip_files_and_of_long_lines(files, monkeypatch):
    size = files["plain"].stat().st_size
    assert temporary_bytes(bundles([files["plain"]], [files["long"]])) == 0
    assert temporary_bytes(bundles([files["packed"]], [files["plain"]])) == size
    monkeypatch.setattr(lines, "_LONG", 50_000)
    assert temporary_bytes(bundles([files["long"]])) == files["long"].stat().st_size


def test_a_job_has_the_copies_of_its_bundle_only(files):
    one, size = files["packed"], files["plain"].stat().st_size
    assert temporary_bytes(bundles([one, one, files["plain"]], [one])) == 2 * size
    assert temporary_bytes({}) == 0


@pytest.mark.parametrize(
    ("kind", "hint"), [("packed", "compress it with bgzip"), ("long", "wrap its lines")]
)
def test_no_space_for_a_copy_names_tmpdir_and_the_need(files, tmp_path, monkeypatch, kind, hint):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(lines, "_LONG", 50_000)
    monkeypatch.setattr(fasta, "scan_index", lambda *_: None)  # it takes short files
    monkeypatch.setattr(fasta, "rewrap", full)
    said = rf"{files[kind]}: .* about 10[0-9.]+ kB in .* \(TMPDIR\): No space left.*{hint}"
    with (
        pytest.raises(InputError, match=said),
        fasta.open_fasta(str(files[kind]), str(tmp_path / "x.fai")),
    ):
        raise AssertionError("opened")
