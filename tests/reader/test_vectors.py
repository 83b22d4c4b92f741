"""Arrays, tensors and tables of vectors: the numbers of the part files, once."""

import pickle

import evo2_embed
import numpy as np
import pandas
import polars as pl
import pytest
import torch
from evo2_embed.io.errors import InputError, MachineError
from evo2_embed.reader import torch_rows
from evo2_embed.reader.frames import observations
from made import GENOMES, ROWS, VALUES, vectors_of, windows, write
from torch.utils.data import DataLoader

PLUS = pl.col("strand") == "+"


def test_all_vectors_are_one_array(ds):
    array = ds.numpy()
    assert array.dtype == np.float32
    assert array.flags.writeable
    assert (array == VALUES).all()
    assert (ds.numpy(np.float64) == VALUES.astype(np.float64)).all()
    assert (ds.numpy(where=PLUS) == VALUES[::2]).all()
    assert ds.numpy(where=pl.lit(False)).shape == (0, VALUES.shape[1])


def test_the_type_is_that_of_the_dataset_if_none_is_given(tmp_path, short_groups):
    write(tmp_path, dtype="float16")
    array = evo2_embed.open(tmp_path / "blocks.2").numpy()
    assert array.dtype == np.float16
    assert (array == VALUES.astype(np.float16)).all()


def test_an_array_in_a_file_is_mapped(ds, tmp_path):
    file = tmp_path / "vectors.npy"
    for where, values in ((None, VALUES), (PLUS, VALUES[::2])):
        array = ds.numpy(np.float64, out=file, where=where)
        assert isinstance(array, np.memmap)
        assert not array.flags.writeable
        assert (array == values.astype(np.float64)).all()
        assert (np.load(file) == array).all()


def test_a_file_of_vectors_appears_only_when_it_is_complete(ds, tmp_path):
    path = ds.dataset.folder / ds.dataset.record["parts"][-1]["file"]
    path.write_bytes(b"x" * path.stat().st_size)
    with pytest.raises(InputError, match=f"{path}: damaged or changed"):
        ds.numpy(out=tmp_path / "new" / "vectors.npy")
    assert list((tmp_path / "new").iterdir()) == []


def test_only_floating_point_types_are_allowed(ds):
    with pytest.raises(InputError, match="dtype: int8"):
        ds.numpy(np.int8)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_loader_gives_each_row_once_with_its_vector(ds, tmp_path, workers):
    rows = ds.torch(tmp_path / "vectors.npy", where=PLUS)
    assert len(rows) == len(VALUES) // 2
    loader = DataLoader(rows, batch_size=50, shuffle=True, num_workers=workers)
    seen = []
    for vectors, index in loader:
        assert vectors.dtype == torch.float32
        assert (vectors.numpy() == VALUES[index]).all()
        seen += index.tolist()
    assert sorted(seen) == list(range(0, len(VALUES), 2))
    assert seen != sorted(seen)


def test_a_copy_for_a_worker_has_no_vectors(ds):
    rows = ds.torch()
    rows[0]  # maps the file
    assert len(pickle.dumps(rows)) < VALUES.nbytes
    assert (pickle.loads(pickle.dumps(rows))[7][0].numpy() == VALUES[7]).all()


def test_a_row_of_a_torch_dataset_can_be_changed(ds):
    vector, row = ds.torch()[3]
    vector += 1
    assert row == 3
    assert np.allclose(vector.numpy(), VALUES[3] + 1)
    assert (ds.torch()[3][0].numpy() == VALUES[3]).all()


def test_float16_becomes_float32_in_torch(tmp_path, short_groups):
    write(tmp_path, dtype="float16")
    vector, _ = evo2_embed.open(tmp_path / "blocks.2").torch()[0]
    assert vector.dtype == torch.float32


def test_a_temporary_file_is_deleted_with_the_torch_dataset(ds):
    rows = ds.torch()
    assert rows.file.stat().st_size > VALUES.nbytes
    assert str(rows.file.parent) == torch_rows.tempfile.gettempdir()
    file = rows.file
    del rows
    assert not file.exists()


def test_a_named_file_is_written_once_and_only_for_the_same_rows(ds, tmp_path):
    file = tmp_path / "vectors.npy"
    ds.torch(file)
    before = file.stat().st_mtime_ns
    ds.torch(file)
    assert file.stat().st_mtime_ns == before
    assert len(ds.torch(file, where=PLUS)) == len(VALUES) // 2
    assert len(np.load(file)) == len(VALUES) // 2
    other = tmp_path / "mine.npy"
    np.save(other, VALUES)
    with pytest.raises(InputError, match="mine.npy: not a file of torch"):
        ds.torch(other)


def test_a_temporary_folder_that_is_too_small_is_named(ds, monkeypatch):
    full = type("Usage", (), {"free": 100})
    monkeypatch.setattr(torch_rows.shutil, "disk_usage", lambda folder: full)
    with pytest.raises(MachineError, match=r"100 B free, .* 4.6 kB; name a file on another disk"):
        ds.torch()


def test_pandas_has_all_columns(ds):
    frame = ds.pandas(PLUS)
    assert (np.stack(frame["embedding"]) == VALUES[::2]).all()
    keys = frame[["genome", "contig", "start", "end", "strand"]].itertuples(index=False, name=None)
    assert list(keys) == [(GENOMES[i], *ROWS[i][:4]) for i in range(0, len(ROWS), 2)]
    names = frame["name"].astype(object).where(frame["name"].notna(), None)
    assert names.tolist() == [ROWS[i][4] for i in range(0, len(ROWS), 2)]


def test_observations_have_a_unique_index_and_no_null(tmp_path, short_groups):
    # Bins of overlapping windows may have the same bases.
    rows = [*windows("c", 3, "dna"), *windows("c", 2), ("d", 0, 5, "+", None)]
    write(tmp_path, values=vectors_of(len(rows)), rows=rows, genomes=["g"] * len(rows))
    found = observations(evo2_embed.open(tmp_path / "blocks.2").keys())
    assert found.index.is_unique
    assert found.index[-1] == "g:d:0-5(+)"
    assert set(found.index[:2]) == {"g:c:0-9(+)#0", "g:c:0-9(-)#1"}
    assert not found.isna().any().any()
    for name in ("genome", "contig", "strand", "name"):
        assert isinstance(found[name].dtype, pandas.CategoricalDtype)
    assert found["name"].tolist() == [row[4] or "" for row in rows]
    assert found["contig"].tolist() == [row[0] for row in rows]


def test_a_package_that_is_missing_is_named_with_the_command_that_installs_it(ds, monkeypatch):
    for package in ("torch", "pandas", "anndata"):
        monkeypatch.setitem(__import__("sys").modules, package, None)
        with pytest.raises(InputError, match=f"not installed: pip install {package}"):
            getattr(ds, package)()
