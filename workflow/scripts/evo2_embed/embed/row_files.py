"""Rows of one width in a file, written in any order: the saved work of an embedding job."""

import os
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evo2_embed.io.files import disk_faults


@dataclass(frozen=True)
class Column:
    """What a row has of a layer: a vector; or its score: one number.

    Attributes
    ----------
    width : int
        Numbers per row.
    dtype : numpy.dtype
    """

    width: int
    dtype: np.dtype

    @property
    def row_bytes(self) -> int:
        """Bytes per row."""
        return self.width * self.dtype.itemsize


class RowFiles:
    """One file per column, `{column}.rows`; row i is at byte i x `row_bytes`.

    Parameters
    ----------
    folder : Path
    columns : dict of str to Column
    """

    def __init__(self, folder: Path, columns: dict[str, Column]):
        self.folder, self.columns = folder, columns
        self._files = {
            name: os.open(folder / f"{name}.rows", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
            for name in columns
        }

    @staticmethod
    def remove(folder: Path) -> None:
        """Remove all files of rows in a folder."""
        for path in folder.glob("*.rows"):
            path.unlink()

    @staticmethod
    def size(folder: Path) -> int:
        """Bytes on the disk of all files of rows in a folder."""
        return sum(path.stat().st_blocks * 512 for path in folder.glob("*.rows"))

    def close(self) -> None:
        """Close the files."""
        for file in self._files.values():
            os.close(file)

    def flush(self) -> None:
        """Wait until all rows are on the disk."""
        for file in self._files.values():
            os.fsync(file)

    def write(self, name: str, row_index: np.ndarray, values: np.ndarray) -> None:
        """Write rows of a column: their indices, ascending, and their values, (n, width)."""
        for start, stop, first in _runs(row_index):
            view = memoryview(values[start:stop]).cast("B")
            offset = first * self.columns[name].row_bytes
            with disk_faults(self.folder / f"{name}.rows"):
                while view:
                    written = os.pwrite(self._files[name], view, offset)
                    view, offset = view[written:], offset + written

    def read(self, name: str, start: int, stop: int) -> np.ndarray:
        """Rows [start, stop), (n, width); NaN behind the end of the file."""
        column = self.columns[name]
        values = np.full((stop - start, column.width), np.nan, column.dtype)
        view, offset = memoryview(values).cast("B"), start * column.row_bytes
        while view:
            count = os.preadv(self._files[name], [view], offset)
            if not count:
                break
            view, offset = view[count:], offset + count
        return values

    def crc(self, name: str, row_index: np.ndarray, crc: int) -> int | None:
        """The CRC-32 of rows, continued from that of other rows. None if a value is not finite."""
        for start, stop, first in _runs(row_index):
            values = self.read(name, first, first + stop - start)
            if not np.isfinite(values).all():
                return None
            crc = zlib.crc32(values, crc)
        return crc


def _runs(row_index: np.ndarray) -> Iterator[tuple[int, int, int]]:
    """Runs of consecutive rows among sorted ones: [start, stop) in the array, and the first row.

    Rows 4, 5, 6, 9 are the runs (0, 3, 4) and (3, 4, 9).
    """
    if not len(row_index):
        return
    breaks = np.flatnonzero(np.diff(row_index) != 1) + 1
    for start, stop in zip([0, *breaks], [*breaks, len(row_index)], strict=True):
        yield int(start), int(stop), int(row_index[start])
