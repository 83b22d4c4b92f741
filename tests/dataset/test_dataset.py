"""A dataset opened from its record: whatever way its rows are read, they are the same."""

import numpy as np
import polars as pl
import pytest
from evo2_embed.dataset.dataset import Dataset
from evo2_embed.io.errors import InputError
from layer_files import many_rows, write_layer

ROWS, WIDTH = 200, 5
VALUES = np.arange(ROWS * WIDTH, dtype=np.float32).reshape(ROWS, WIDTH)


@pytest.fixture
def dataset(tmp_path, short_groups):
    """200 rows in row groups of 14, and several part files."""
    return Dataset.open(write_layer(tmp_path, "blocks.6.mlp.l3", VALUES, many_rows(ROWS)))


def test_paths_and_shape_come_from_the_record(dataset, tmp_path):
    assert dataset.name == "blocks.6.mlp.l3"
    assert dataset.folder == tmp_path / "blocks.6.mlp.l3"
    assert (dataset.rows, dataset.width) == (ROWS, WIDTH)
    assert len(dataset.record["parts"]) > 1


def test_row_groups_keys_and_rows_at_indices_agree(dataset):
    groups = list(dataset.row_groups())
    assert {len(group) for group in groups[:-1]} == {14}
    assert (np.concatenate([dataset.vectors(group) for group in groups]) == VALUES).all()
    keys = dataset.keys()
    whole = pl.read_parquet(dataset.folder / "*.parquet").drop("embedding")
    assert keys.equals(whole.with_columns(pl.col("genome", "contig").cast(pl.String)))
    rows = np.array([0, 13, 14, 15, 100, ROWS - 1])
    some, vectors = dataset.read_at(rows)
    assert some.equals(keys[rows])
    assert vectors.dtype == np.float32
    assert (vectors == VALUES[rows]).all()


def test_no_rows_are_read_as_none(dataset):
    keys, vectors = dataset.read_at(np.array([], np.int64))
    assert keys.schema == dataset.keys().schema
    assert (len(keys), vectors.shape) == (0, (0, WIDTH))


@pytest.mark.parametrize("damage", ["flip", "missing"])
def test_a_damaged_part_file_is_refused_however_it_is_read(dataset, damage):
    path = dataset.folder / dataset.record["parts"][1]["file"]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()
    if damage == "flip":
        path.write_bytes(content)
    said = f"{path}: .*delete {path} and rerun" if damage == "flip" else f"{path}: .*missing; rerun"
    readers = (
        dataset.keys,
        lambda: list(dataset.row_groups()),
        lambda: dataset.read_at(np.array([0])),
    )
    for read in readers:
        with pytest.raises(InputError, match=said):
            read()
