"""Rows of a dataset for PyTorch, from a file that is mapped into memory.

A loader that shuffles asks for rows anywhere. A Parquet file gives a whole row group, 4 MB, for
each of them; a file of plain numbers gives the row alone. So the vectors are written to such a file
first, once.
"""

import os
import shutil
import tempfile
import weakref
from pathlib import Path

import numpy as np

from evo2_embed.dataset.dataset import Dataset
from evo2_embed.io.digests import settings_digest
from evo2_embed.io.errors import InputError, MachineError
from evo2_embed.io.files import read_json, write_json
from evo2_embed.io.text import human_bytes
from evo2_embed.reader.arrays import fill_file


class TorchRows:
    """A map-style dataset of `torch`: (vector, row) by index.

    Attributes
    ----------
    rows : ndarray of int64, (n,)
        The row of the dataset of each index.
    file : Path
        The vectors of these rows, `.npy`.
    """

    def __init__(self, rows: np.ndarray, file: Path):
        self.rows, self.file = rows, file
        self._vectors: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> tuple:
        """The vector, a tensor of float32 (width,), and the row."""
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: list[int]) -> list[tuple]:
        """Several at once, as a loader asks for a batch."""
        import torch

        if self._vectors is None:  # in each process
            self._vectors = np.load(self.file, mmap_mode="r")
        vectors = torch.from_numpy(self._vectors[indices].astype(np.float32))
        return list(zip(vectors, self.rows[indices].tolist(), strict=True))

    def __getstate__(self) -> dict:
        """Without the mapped array, which would be copied into each worker."""
        return {**vars(self), "_vectors": None}


def torch_rows(dataset: Dataset, rows: np.ndarray | None, file: str | Path | None) -> TorchRows:
    """Rows of a dataset for PyTorch, see `Embeddings.torch`.

    Parameters
    ----------
    dataset : Dataset
    rows : ndarray of int64, (n,), optional
        Ascending row indices; all rows if not given.
    file : path, optional
        A file to write, or one that was written from the same rows before. Without it, a temporary
        file that is deleted with the result.
    """
    index = np.arange(dataset.rows) if rows is None else rows
    dtype = np.dtype(dataset.record.get("dtype", "float32"))
    if file is not None:
        _keep(dataset, rows, dtype, Path(file))
        return TorchRows(index, Path(file).absolute())
    folder = tempfile.gettempdir()
    size, free = len(index) * dataset.width * dtype.itemsize, shutil.disk_usage(folder).free
    if size > free:
        raise MachineError(
            f"{folder}: has {human_bytes(free)} free, and the vectors need {human_bytes(size)}; "
            "name a file on another disk: torch(file=...)"
        )
    handle, name = tempfile.mkstemp(prefix="evo2_embed.", suffix=".npy")
    os.close(handle)
    result = TorchRows(index, Path(name))
    weakref.finalize(result, _delete, name, os.getpid())
    fill_file(dataset, rows, dtype, name)
    return result


def _keep(dataset: Dataset, rows: np.ndarray | None, dtype: np.dtype, file: Path) -> None:
    """Write a file of vectors, unless it has those of the same rows already. The record beside it
    tells."""
    record = file.with_name(f"{file.name}.json")
    parts = [part["sha256"] for part in dataset.record["parts"]]
    digest = settings_digest([parts, None if rows is None else rows.tolist(), dataset.name])
    if file.exists():
        try:
            known = read_json(record)
        except InputError as error:
            raise InputError(f"{file}: not a file of torch(); name another one") from error
        if known == {"digest": digest, "bytes": file.stat().st_size}:
            return
    fill_file(dataset, rows, dtype, file)
    write_json(record, {"digest": digest, "bytes": file.stat().st_size})


def _delete(name: str, process: int) -> None:
    # A worker has a copy of the object, and must not delete the file of its parent.
    if os.getpid() == process:
        Path(name).unlink(missing_ok=True)
