"""Bundles joined to a dataset: rows in the order of the sheet, no file copied, none left over."""

import os
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from evo2_embed.dataset import join
from evo2_embed.dataset.aggregate import join_layer
from evo2_embed.dataset.bundles import write_record
from evo2_embed.dataset.dataset import Dataset
from evo2_embed.dataset.levels import LevelMeans
from evo2_embed.dataset.part_files import write_parts
from evo2_embed.dataset.part_names import level_path, parts_folder
from evo2_embed.io import files
from evo2_embed.io.errors import InputError
from evo2_embed.io.files import checked_writes, read_json, write_json
from evo2_embed.io.tables import embeddings_schema, metadata_schema, vectors
from evo2_embed.run.record_files import has_lost_files, lost_bundles
from layer_files import COMMON, keys_of, many_rows

WIDTH = 3
OUTPUT = "embeddings/default/norm.json"
FOLDER = Path("embeddings/default/norm")


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch, short_groups):
    """An empty working folder; parts of a few rows."""
    monkeypatch.chdir(tmp_path)


def bundle(name, number, rows=80, digest="1", **changes):
    """What `aggregate_bundle` leaves of a bundle; vectors begin with its number and the row."""
    record = f"bundles/default/{name}/all.json"
    schema = metadata_schema(embeddings_schema(WIDTH, "float32"), {"digest": f"{name} {digest}"})
    values = np.stack([np.full(rows, number), np.arange(rows), np.zeros(rows)], axis=1)
    columns = [*keys_of(many_rows(rows)).columns, vectors(values.astype(np.float32))]
    table = [join.pa.table(columns, schema=schema)]
    with LevelMeans({"contig": level_path(record, "norm", "contig")}, WIDTH) as means:
        parts = write_parts(parts_folder(record, "norm"), means.watch(table), schema, WIDTH)
    check = {"noise": 1e-7, "tolerance": 1e-5, "difference": number * 1e-6, "kernels": "torch"}
    entry = {"digest": f"{name} {digest}", "self_check": check, "width": WIDTH, "dtype": "float32"}
    origin = {**dict.fromkeys(COMMON, "x"), "bundle": name, "shards": [f"{name} {digest}"]}
    entry |= {"parts": parts, "levels": means.files}
    write_record(record, {**origin, **changes}, {"norm": entry})
    return record


def joined(*records):
    return join_layer(list(records), "norm", {"code": 1}, OUTPUT)


def numbers():
    """Bundle and row of each row that a glob over the folder finds."""
    rows = np.stack(pl.read_parquet(FOLDER / "*.parquet")["embedding"].to_numpy())
    return [(int(number), int(row)) for number, row, _ in rows]


def wanted(*bundles, rows=80):
    return [(number, row) for number in bundles for row in range(rows)]


def inodes():
    """By content of the name after the number of the bundle, the file on the disk."""
    return {path.name.split("-", 2)[2]: path.stat().st_ino for path in FOLDER.iterdir()}


def test_a_glob_reads_the_rows_in_the_order_of_the_sheet():
    records = [bundle("b", 0), bundle("x-a", 1), bundle("a", 2)]
    record = joined(*records)
    assert numbers() == wanted(0, 1, 2)
    assert record == read_json(OUTPUT)
    assert record["rows"] == sum(part["rows"] for part in record["parts"]) == 240
    assert [part["file"] for part in record["parts"]] == sorted(os.listdir(FOLDER))
    assert len(record["parts"]) > 3
    keys, values = Dataset.open(OUTPUT).read_at(np.array([0, 79, 80, 239]))
    assert values[:, :2].tolist() == [[0, 0], [0, 79], [1, 0], [2, 79]]
    means = pl.read_parquet("embeddings/default/norm.contig.parquet")
    assert len(means) == 3 * 2  # strands
    assert [int(vector[0]) for vector in means["embedding"]] == [0, 0, 1, 1, 2, 2]
    assert record["self_check"]["difference"] == 2e-6
    assert not list(Path("bundles").glob("*/*/parts"))


def test_a_new_bundle_moves_its_files_and_leaves_the_others():
    first = [bundle("a", 0), bundle("b", 1)]
    joined(*first)
    before = inodes()
    times = {path.name: path.stat().st_mtime_ns for path in FOLDER.iterdir()}
    joined(*first, bundle("c", 2))
    assert numbers() == wanted(0, 1, 2)
    assert {path.name: path.stat().st_mtime_ns for path in FOLDER.iterdir()}.items() > times.items()
    joined(bundle("new", 3), *reversed(first))
    assert numbers() == wanted(3, 1, 0)
    assert {name: inodes()[name] for name in before} == before


def test_a_bundle_that_left_the_sheet_and_a_dataset_without_bundles_are_gone():
    FOLDER.mkdir(parents=True)
    records = [bundle("a", 0), bundle("b", 1, rows=5), bundle("c", 2)]
    for name in ("part-00000.parquet", "part-00001.parquet"):
        (FOLDER / name).write_bytes(b"of a version without bundles")
    joined(*records)
    joined(records[0], records[2])
    assert numbers() == wanted(0, 2)
    joined(records[0], bundle("c", 4, rows=7, digest="2"))
    assert numbers() == [*wanted(0), *wanted(4, rows=7)]


def test_a_join_that_was_killed_between_two_files_continues(monkeypatch):
    records = [bundle("a", 0), bundle("b", 1)]
    joined(*records)
    records = [bundle("c", 2), bundle("a", 3, digest="2"), records[1]]
    moves = [0]

    def killed(source, target):
        moves[0] += 1
        if moves[0] == 4:
            raise KeyboardInterrupt
        files.move_file(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(join, "move_file", killed)
        with pytest.raises(KeyboardInterrupt):
            joined(*records)
    joined(*records)
    assert numbers() == wanted(2, 3, 1)


def test_a_job_that_may_no_longer_write_changes_nothing():
    def refuse():
        raise InputError("no")

    records = [bundle("a", 0), bundle("b", 1)]
    joined(*records)
    before = sorted(FOLDER.iterdir())
    with checked_writes(refuse), pytest.raises(InputError, match="no"):
        joined(records[1])
    assert sorted(FOLDER.iterdir()) == before


@pytest.mark.parametrize("damage", ["lost", "cut", "of another run"])
def test_a_part_file_that_is_not_of_its_record_is_refused(damage):
    records = [bundle("a", 0), bundle("b", 1)]
    joined(*records)
    path = sorted(FOLDER.iterdir())[-1]
    if damage == "lost":
        path.unlink()
    elif damage == "cut":
        os.truncate(path, 10)
    else:
        content = path.read_bytes()
        path.write_bytes(content.replace(b'"b 1"', b'"b 2"'))
    said = f"{records[1]}: a part file of its dataset 'norm' is lost .*; delete {records[1]} and"
    with pytest.raises(InputError, match=said):
        joined(*records)
    if damage != "of another run":
        assert lost_bundles(OUTPUT, records) == records[1:]
        assert has_lost_files(OUTPUT)


def test_bundles_of_other_weights_are_refused():
    records = [bundle("a", 0), bundle("b", 1, checkpoint_sha256="y")]
    with pytest.raises(InputError, match="b/all.json: checkpoint_sha256 differs from that of"):
        joined(*records)
    assert not FOLDER.exists()


def test_a_damaged_table_of_a_level_names_the_record_of_its_bundle():
    records = [bundle("a", 0), bundle("b", 1)]
    level_path(records[1], "norm", "contig").write_bytes(b"")
    with pytest.raises(InputError, match=rf"norm.contig.parquet: damaged.*delete {records[1]}"):
        joined(*records)


def test_without_a_record_the_folder_tells_which_bundles_are_lost():
    records = [bundle("a", 0), bundle("b", 1), "bundles/default/c/all.json"]
    assert lost_bundles(OUTPUT, records) == []
    joined(*records[:2])
    assert lost_bundles(OUTPUT, records) == []
    Path(OUTPUT).unlink()
    assert lost_bundles(OUTPUT, records) == []
    shutil.rmtree(FOLDER)
    assert lost_bundles(OUTPUT, records) == records[:2]


def test_a_dataset_without_bundles_lost_none():
    write_json(
        "older.json", {"parts": [{"file": "part-00000.parquet", "sha256": ""}], "levels": {}}
    )
    assert lost_bundles("older.json", ["bundles/default/a/all.json"]) == []
    assert has_lost_files("older.json")


def test_part_files_are_moved_to_another_disk_too(monkeypatch):
    def replace(source, target):
        if Path(source).absolute().parent != Path(target).absolute().parent:
            raise OSError(files.errno.EXDEV, "other disk")
        renamed(source, target)

    records, renamed = [bundle("a", 0), bundle("b", 1)], os.replace
    monkeypatch.setattr(files.os, "replace", replace)
    joined(*records)
    assert numbers() == wanted(0, 1)
    assert not list(Path("bundles").rglob("part-*"))
