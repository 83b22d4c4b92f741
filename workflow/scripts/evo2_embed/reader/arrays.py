"""The vectors of a dataset as one array, in memory or in a file."""

from collections.abc import Callable
from pathlib import Path
from threading import Lock

import numpy as np

from evo2_embed.dataset.dataset import Dataset
from evo2_embed.io.files import atomic_path
from evo2_embed.reader.parts import Vectors, each_part

Put = Callable[[int, np.ndarray], None]


def fill_array(dataset: Dataset, rows: np.ndarray | None, dtype: np.dtype) -> np.ndarray:
    """The vectors of a dataset in memory, once: row groups are read into their place.

    Parameters
    ----------
    dataset : Dataset
    rows : ndarray of int64, (n,), optional
        Ascending row indices; all rows if not given.
    dtype : dtype

    Returns
    -------
    ndarray of dtype, (n, width)
    """
    array = np.empty((_count(dataset, rows), dataset.width), dtype)

    def put(first: int, values: np.ndarray) -> None:
        array[first : first + len(values)] = values

    _read(dataset, rows, put)
    return array


def fill_file(
    dataset: Dataset, rows: np.ndarray | None, dtype: np.dtype, path: str | Path
) -> np.ndarray:
    """The vectors of a dataset in a file `.npy`, which is then mapped into memory, read-only.

    The file appears only when it is complete. Parameters as in `fill_array`.
    """
    shape = (_count(dataset, rows), dataset.width)
    # Written, not mapped: mapped pages would count as memory of this process.
    with atomic_path(path) as temporary, open(temporary, "wb") as file:
        header = {"descr": dtype.str, "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)
        begin, lock = file.tell(), Lock()

        def put(first: int, values: np.ndarray) -> None:
            data = np.ascontiguousarray(values, dtype)
            with lock:
                file.seek(begin + first * shape[1] * dtype.itemsize)
                file.write(data)

        _read(dataset, rows, put)
    return np.load(path, mmap_mode="r")


def _count(dataset: Dataset, rows: np.ndarray | None) -> int:
    return dataset.rows if rows is None else len(rows)


def _read(dataset: Dataset, rows: np.ndarray | None, put: Put) -> None:
    """Give the vectors of row groups, and the place of their first row, to a function."""
    vectors = Vectors(dataset, rows=rows)

    def read(part: int) -> None:
        for mine, values in vectors.of_part(part):
            put(int(mine[0] if rows is None else np.searchsorted(rows, mine[0])), values)

    for _ in each_part(dataset, read):
        pass
