"""Sealed files: any change of a byte is seen, and the file names itself."""

import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from evo2_embed.io.errors import InputError
from evo2_embed.io.files import atomic_directory, atomic_path, read_json, write_json
from evo2_embed.io.integrity import is_sealed
from evo2_embed.io.tables import (
    embeddings_schema,
    metadata_schema,
    open_table,
    table_writer,
    vectors,
)
from hypothesis import given, settings
from hypothesis import strategies as st

SCHEMA = metadata_schema(embeddings_schema(4, "float32"), {"made": "from nothing"})


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A sealed file of two row groups."""
    path = tmp_path_factory.mktemp("seals") / "table.parquet"
    label = pa.array(["g", "g"]).dictionary_encode()
    numbers = pa.array([1, 2])
    with table_writer(path, SCHEMA) as writer:
        for _ in range(2):
            columns = [label, label, numbers, numbers, pa.array(["+", "-"]), pa.array(["n", None])]
            columns += [pa.array([5, 6], pa.int32())] * 3
            columns += [vectors(np.ones((2, 4), np.float32))]
            writer.write_table(pa.table(columns, SCHEMA))
    return path


def test_a_sealed_file_opens_here_and_with_any_reader(whole):
    assert open_table(whole, SCHEMA).metadata.num_rows == 4
    assert pq.read_table(whole).num_rows == 4


@settings(max_examples=200, deadline=None)
@given(data=st.data())
def test_any_flipped_bit_is_seen(whole, data):
    content = bytearray(whole.read_bytes())
    place = data.draw(st.integers(0, len(content) - 1))
    content[place] ^= 1 << data.draw(st.integers(0, 7))
    other = whole.with_name("other.parquet")
    other.write_bytes(content)
    assert not is_sealed(other)
    with pytest.raises(InputError, match=r"other.parquet: damaged .*delete .*other.parquet and"):
        open_table(other, SCHEMA)


@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_any_cut_is_seen(whole, data):
    content = whole.read_bytes()
    other = whole.with_name("cut.parquet")
    other.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    assert not is_sealed(other)


def test_a_file_that_was_never_sealed_is_refused(tmp_path):
    path = tmp_path / "plain.parquet"
    pq.write_table(pa.table({"a": [1]}), path)
    with pytest.raises(InputError, match="plain.parquet: damaged"):
        open_table(path, SCHEMA)


def test_what_a_record_says_of_a_file_counts(whole, tmp_path):
    with pytest.raises(InputError, match=f"damaged or changed.*delete {tmp_path} and rerun"):
        open_table(whole, SCHEMA, "0" * 64, tmp_path)
    with pytest.raises(InputError, match="the file is missing"):
        open_table(tmp_path / "none.parquet", SCHEMA)


def test_nothing_is_left_where_writing_failed(tmp_path):
    def fail():
        with table_writer(tmp_path / "table.parquet", SCHEMA):
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_whoever_reads_a_file_goes_on_with_the_old_one(tmp_path):
    path = tmp_path / "table"
    path.write_text("old")
    with path.open() as reader:
        with atomic_path(path) as temporary:
            temporary.write_text("new contents")
        assert reader.read() == "old"
    assert path.read_text() == "new contents"


def test_records_are_sealed_too(tmp_path):
    path = tmp_path / "record.json"
    value = {"digest": "abc", "n": 3, "list": [1.5, None, "é"]}
    write_json(path, value)
    assert read_json(path) == value
    edited = {**json.loads(path.read_text()), "n": 4}
    for text in (json.dumps(edited), "", "[]", path.read_text()[:-9], "{}"):
        path.write_text(text)
        with pytest.raises(InputError, match="record.json: damaged or edited"):
            read_json(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="record.json: damaged or edited"):
        read_json(path)


def test_a_full_disk_is_one_line(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil.os, "fsync", full)
    with pytest.raises(InputError, match="record.json: cannot be written: No space left on device"):
        write_json(tmp_path / "record.json", {})
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_job_left_goes_with_the_next_one_and_nothing_else(tmp_path):
    (tmp_path / ".blocks.1.abcdefgh.tmp").mkdir()
    (tmp_path / ".blocks.1.abcdefgh.tmp" / "part").touch()
    others = [".blocks.1.mlp.abcdefgh.tmp", ".blocks.1.json.abcdefgh.tmp", "blocks.1.tmp"]
    for name in others:
        (tmp_path / name).touch()
    with atomic_directory(tmp_path / "blocks.1") as folder:
        (folder / "part").touch()
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*others, "blocks.1"])
    write_json(tmp_path / "blocks.1.json", {})
    assert not (tmp_path / ".blocks.1.json.abcdefgh.tmp").exists()
