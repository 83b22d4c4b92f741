"""`make verify`, and files that a run misses although their record exists."""

import shutil

import pytest
import verify_results
from evo2_embed.run.record_files import has_lost_files

# Of every kind of file that carries a digest or is in a record, one.
KINDS = (
    *("chunks/*.parquet", "packs/*/*.parquet", "models/*.json", "machine/*.json"),
    *("shards/*/*/*/shard.json", "shards/*/*/*/speed.json", "shards/*/*/*/norm.parquet"),
    *("controls/packs.parquet", "controls/*/norm.parquet", "comparisons/*.json"),
    *("burn_in/*.packs.parquet", "burn_in/*/norm.parquet", "burn_in/*.json"),
    *("embeddings/both/norm.json", "embeddings/both/norm/*", "embeddings/both/manifest.json"),
    *("embeddings/both/norm.contig.parquet", "embeddings/both/directions/*", "fusions/*/*.npz"),
    *("bundles/both/small/all.json", "bundles/both/small/levels/norm.contig.parquet"),
    *("probes/both.labels.json", "probes/both.json", "probes/both.parquet"),
    *("export/blocks.parquet", "export/*/*/packed-train.parquet", "export/*/*/export.json"),
    *("finetune/*/*.parquet", "finetune/summary.json"),
)


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.fixture(scope="module")
def copied(finished_run, tmp_path_factory):
    """A copy of the files of a finished run, which each test leaves as it was."""
    folder = tmp_path_factory.mktemp("verify")
    for name in ("results", "benchmarks"):
        shutil.copytree(finished_run.folder / name, folder / name)
    return folder


@pytest.fixture
def folder(copied, monkeypatch):
    """The copy, as the working folder."""
    monkeypatch.chdir(copied)
    return copied


@pytest.fixture
def take(folder, tmp_path):
    """A function that takes a file or folder of the results away, until the test ends."""
    taken = {}

    def take(name):
        path = folder / "results" / name
        taken[path] = shutil.move(path, tmp_path / f"{len(taken)}")
        return path

    yield take
    for path, kept in taken.items():
        shutil.move(kept, path)


def test_an_undamaged_run_is_ok(folder, capsys):
    assert verify_results.main(".") == 0
    assert capsys.readouterr().out.startswith("OK ")


@pytest.mark.parametrize("kind", KINDS)
def test_a_flipped_bit_is_found_in_every_kind_of_file(folder, capsys, kind):
    path = sorted(folder.glob(f"results/{kind}"))[0]
    before = path.read_bytes()
    flip(path)
    try:
        assert verify_results.main(".") == 1
    finally:
        path.write_bytes(before)
    lines = capsys.readouterr().out.splitlines()
    (line,) = (line for line in lines if line.startswith("FAIL"))
    assert str(path.relative_to(folder)) in line
    assert "delete " in line


@pytest.mark.parametrize(
    "lost",
    [
        *("embeddings/both/norm", "embeddings/both/norm/part-00000-large-00000.parquet"),
        *("embeddings/both/norm.contig.parquet", "embeddings/both/norm.json"),
        *("embeddings/both/manifest.json", "probes/both.parquet", "report.html"),
        *("shards/both/small/00000/norm.parquet", "finetune/packed", "fusions/both/strands.npz"),
    ],
)
def test_lost_files_are_named(take, capsys, lost):
    take(lost)
    assert verify_results.main(".") == 1
    assert f"FAIL  results/{lost}" in capsys.readouterr().out


def test_intermediate_files_that_nothing_needs_are_not_lost(take):
    for name in ("chunks", "packs", "shards"):
        take(name)
    assert verify_results.main(".") == 0


def test_a_record_has_lost_files_if_one_is_missing_or_of_another_size(take, folder):
    record = folder / "results" / "embeddings" / "both" / "norm.json"
    assert not has_lost_files(str(record))
    part = take("embeddings/both/norm/part-00000-large-00000.parquet")
    assert has_lost_files(str(record))
    part.write_bytes(b"short")
    assert has_lost_files(str(record))
    assert not has_lost_files(str(record.with_name("none.json")))
