"""Addresses of files and the paths of their copies, without a server."""

from importlib.util import find_spec

import pytest
from evo2_embed.genomes.sample_sheet import read_sheet
from evo2_embed.genomes.sheet_files import file_faults
from evo2_embed.io.errors import MachineError
from evo2_embed.io.remote import address_of, copy_path, keep_copy, look_up


@pytest.mark.parametrize(
    "address",
    ["s3://bucket/deep/a.fa.gz", "https://host.org:8080/a+b/x%20y.fa", "http://127.0.0.1/g.fa"],
)
@pytest.mark.parametrize("early", [False, True])
def test_a_copy_tells_its_address(address, early):
    path = copy_path(address, early)
    assert path.startswith("results/inputs/")
    assert address_of(path) == address
    assert copy_path(path, early) == path


def test_copies_that_jobs_make_and_early_ones_are_in_different_places():
    assert copy_path("s3://b/x") == "results/inputs/s3/b/x"
    assert copy_path("s3://b/x", early=True) == "results/inputs/early/s3/b/x"


@pytest.mark.parametrize("path", ["a.fa", "/data/s3/a.fa", "results/chunks/a.parquet", "results"])
def test_a_local_path_stays(path):
    assert copy_path(path) == path
    assert address_of(path) is None


@pytest.mark.parametrize(
    "text",
    [
        *("s3://bucket", "s3://bucket/", "S3://bucket/a", "s3:/bucket/a", "https://host/"),
        *("https://host/a?b=c", "https://host/a#b", "https://me:word@host/a", "s3://b/../a"),
        *("s3://b//a", "https://host/a b", "s3://./a"),
    ],
)
def test_an_address_that_is_not_of_a_file_is_refused(text, tmp_path):
    sheet = tmp_path / "genomes.tsv"
    sheet.write_text(f"genome\tfasta\na\t{text}\n")
    (genome,), faults = read_sheet(str(sheet))
    assert faults == []
    (line,) = file_faults("genomes.tsv", genome)
    assert line == (
        f"genomes.tsv: genome 'a': fasta '{text}': not an address of a file (allowed: "
        "s3://bucket/key or https://host/path, without user, '?', '#', '//' or '..')"
    )


def test_without_the_plugin_a_line_says_what_to_install(monkeypatch):
    def found(name):
        return None if name.startswith("snakemake_storage_plugin") else find_spec(name)

    monkeypatch.setattr("evo2_embed.io.remote.find_spec", found)
    with pytest.raises(MachineError) as caught:
        look_up("s3://bucket/a.fa")
    assert str(caught.value) == (
        "s3://bucket/a.fa: the package snakemake-storage-plugin-s3 is missing: run `make "
        "storage-env`, or pip install -r envs/requirements-storage.txt"
    )


def test_a_copy_stays_when_the_fetched_file_is_deleted(tmp_path):
    fetched = tmp_path / "fetched"
    fetched.write_text("bases")
    keep_copy(str(fetched), str(tmp_path / "deep" / "copy"))
    fetched.unlink()
    assert (tmp_path / "deep" / "copy").read_text() == "bases"
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["copy"]
