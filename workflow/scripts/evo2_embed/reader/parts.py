"""Passes over the vectors of a dataset, several part files at a time."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from evo2_embed.dataset.dataset import Dataset
from evo2_embed.io.tables import ROW_GROUP_BYTES, vectors_to_numpy

Result = TypeVar("Result")
_MOST = 8  # files at a time; each needs the memory of a few row groups


def each_part(dataset: Dataset, work: Callable[[int], Result]) -> Iterator[Result]:
    """What a function gives for the index of each part file, in their order."""
    parts = range(len(dataset.record["parts"]))
    # pyarrow follows OMP_NUM_THREADS.
    pool = ThreadPoolExecutor(max(1, min(_MOST, pa.cpu_count(), len(parts))))
    try:
        yield from pool.map(work, parts)
    finally:
        pool.shutdown(cancel_futures=True)  # after an error, files that were not begun are not read


@dataclass(frozen=True)
class Vectors:
    """The vectors of a dataset, a block of rows at a time.

    Attributes
    ----------
    dataset : Dataset
    array : ndarray, (rows, width), optional
        The same vectors, as `Embeddings.numpy` gives them. If it is there, part files are not read.
    rows : ndarray of int64, (n,), optional
        Ascending row numbers: only these rows are given. All rows if it is not there.
    """

    dataset: Dataset
    array: np.ndarray | None = None
    rows: np.ndarray | None = None

    @cached_property
    def _firsts(self) -> np.ndarray:
        """The first row of each part file, and the number of all rows."""
        return np.cumsum([0, *(part["rows"] for part in self.dataset.record["parts"])])

    def of_part(self, part: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Row numbers (n,) and vectors (n, width) of blocks of a part file, in their order. Part
        files whose digests are wrong are refused."""
        first, stop = self._firsts[part : part + 2]
        if not self._count(first, stop):
            return
        for begin, end, read in self._blocks(part, first, stop):
            if not self._count(begin, end):
                continue
            if self.rows is None:
                yield np.arange(begin, end), read()
            else:
                low, high = np.searchsorted(self.rows, [begin, end])
                mine = self.rows[low:high]
                yield mine, read()[mine - begin]

    def _count(self, first: int, stop: int) -> int:
        """How many of the rows [first, stop) are given."""
        if self.rows is None:
            return stop - first
        return int(np.diff(np.searchsorted(self.rows, [first, stop]))[0])

    def _blocks(self, part: int, first: int, stop: int) -> Iterator[tuple]:
        """First row, end and a function that reads them, of blocks of a part file."""
        if self.array is not None:
            size = max(1, ROW_GROUP_BYTES // (self.array.itemsize * self.array.shape[1]))
            for begin in range(first, stop, size):
                end = min(begin + size, stop)
                yield begin, end, partial(self.array.__getitem__, slice(begin, end))
            return
        file = self.dataset.open_part(part)
        for number in range(file.num_row_groups):
            end = first + file.metadata.row_group(number).num_rows
            yield first, end, partial(self._read, file, number)
            first = end

    def _read(self, file: pq.ParquetFile, number: int) -> np.ndarray:
        column = self.dataset.vector_column
        table = file.read_row_group(number, columns=[column])
        return vectors_to_numpy(table[column], self.dataset.width)
