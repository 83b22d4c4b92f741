"""The unfinished rows of a shard on disk: written pack by pack, so that a killed job resumes."""

import contextlib
import os
import shutil
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from evo2_embed.embed.rows import ShardRows
from evo2_embed.io.digests import file_sha256
from evo2_embed.io.errors import InputError
from evo2_embed.io.files import disk_faults, read_json, write_json
from evo2_embed.io.finite import NotFiniteError, as_stored
from evo2_embed.io.logs import log
from evo2_embed.io.tables import (
    check_embeddings,
    embeddings_schema,
    metadata_schema,
    row_group_rows,
    table_writer,
    vectors,
)
from evo2_embed.io.text import human_bytes

JOURNAL = "journal.json"

# For values that are too large for the type of the files, and for NaN and inf.
_ADVICE = {
    True: "set dtype: float32",
    False: "rerun, finished packs are kept; if it happens again, the precision does not fit",
}


@dataclass(frozen=True)
class StoreContents:
    """What a store holds.

    Attributes
    ----------
    key : str
        Digest of everything that the vectors depend on. Vectors of another key are discarded.
    rows : ShardRows
    widths : dict of str to int
        Dimensions of the vectors, by layer.
    dtype : {"float32", "float16"}
    n_tokens : int
        Tokens of the shard.
    """

    key: str
    rows: ShardRows
    widths: dict[str, int]
    dtype: str
    n_tokens: int


class RowStore:
    """Vectors of a shard, written pack by pack in any order, read in the final order of the rows.

    The work folder holds one file per layer, and a journal of the packs whose rows are safely on
    the disk, each with a checksum. A later store with the same key continues from the journal; a
    pack whose rows do not match their checksum runs again. Rows with values that are not finite are
    never in the journal. Memory does not grow with the shard.

    Parameters
    ----------
    work : Path
        The work folder. The caller has to hold its lock (`locks.exclusive`).
    contents : StoreContents
    save_every : float
        Seconds between two saves of the journal; a kill costs at most the work of that time.
    beat : callable
        Called after every bit of progress.

    Attributes
    ----------
    done : dict of int to tuple
        By number of a pack whose rows are stored: its tokens, and the CRC-32 of the rows.
    seconds : float
        Time between `start` and the last save, including that of earlier processes.
    """

    def __init__(
        self, work: Path, contents: StoreContents, save_every: float, beat: Callable[[], None]
    ):
        self.work, self.key, self.rows = work, contents.key, contents.rows
        self.n_tokens, self.widths = contents.n_tokens, contents.widths
        self.dtype = np.dtype(contents.dtype)
        self.save_every, self.beat = save_every, beat
        self.done: dict[int, tuple[int, int]] = {}
        self.seconds = 0.0
        self._saved = self._started = time.monotonic()
        self._check_room()
        known = self._read_journal()
        if known is None:
            self._forget()
        else:
            self.seconds = known["seconds"]
            self.done = {number: (tokens, crc) for number, tokens, crc in known["packs"]}
        self._files = {
            layer: os.open(self.work / f"{layer}.rows", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC)
            for layer in self.widths
        }

    def __enter__(self) -> "RowStore":
        return self

    def __exit__(self, kind, *error) -> None:
        if kind is not None:
            # Keep the finished packs, if the disk can still be written.
            with contextlib.suppress(OSError, InputError):
                self.save()
        for file in self._files.values():
            os.close(file)

    @property
    def tokens(self) -> int:
        """Tokens of the packs that are stored."""
        return sum(tokens for tokens, _ in self.done.values())

    def keep_whole(self, row_indices: dict[int, np.ndarray]) -> None:
        """Forget stored packs whose rows are damaged, or that do not belong to the shard.

        Parameters
        ----------
        row_indices : dict of int to ndarray
            By number of a pack, the indices of the rows that end in it.
        """
        found, self.done = self.done, {}
        for number, (tokens, crc) in found.items():
            if number in row_indices and self._stored_crc(row_indices[number]) == crc:
                self.done[number] = (tokens, crc)
            self.beat()
        if found:
            log.info(
                "continuing from %d of %d tokens; %d of %d packs found in %s are damaged",
                *(self.tokens, self.n_tokens, len(found) - len(self.done), len(found), self.work),
            )

    def start(self) -> None:
        """Start to count the seconds."""
        self._saved = self._started = time.monotonic()

    def put(self, number: int, n_tokens: int, row_index: np.ndarray, values: dict) -> None:
        """Store the rows that end in a pack.

        Parameters
        ----------
        number, n_tokens : int
            Of the pack.
        row_index : ndarray of int64, (n,)
            Indices of the rows.
        values : dict of str to HostCopy
            By layer, their vectors, (n, width).

        Raises
        ------
        InputError
            If a value is not finite, or too large for the type of the files.
        """
        order = np.argsort(row_index)
        row_index = row_index[order]
        crc = 0
        for layer in self.widths:
            try:
                ordered = as_stored(values[layer].numpy()[order], self.dtype)
            except NotFiniteError as error:
                first, count = self.rows.place(row_index[error.rows[0]]), len(error.rows)
                raise InputError(
                    f"layer '{layer}': {error} in {count} of {len(row_index)} rows of pack "
                    f"{number}; the first is {first} ({_ADVICE[error.too_large]})"
                ) from None
            crc = zlib.crc32(ordered, crc)
            for start, stop, first_row in _runs(row_index):
                self._write(layer, ordered[start:stop], first_row)
        # Last: the journal must not list a pack before its rows are written.
        self.done[number] = (n_tokens, crc)
        self.beat()
        if time.monotonic() - self._saved >= self.save_every:
            self.save()

    def save(self) -> None:
        """Flush the rows to the disk, then write the journal."""
        for file in self._files.values():
            os.fsync(file)
        now = time.monotonic()
        self.seconds += now - self._started
        self._saved = self._started = now
        journal = {
            "key": self.key,
            "tokens": self.tokens,
            "n_tokens": self.n_tokens,
            "seconds": round(self.seconds, 3),
            "packs": [[number, *values] for number, values in self.done.items()],
        }
        write_json(self.work / JOURNAL, journal)

    def write(self, folder: Path, metadata: dict) -> dict[str, dict]:
        """Write the Parquet files of all layers.

        Parameters
        ----------
        folder : Path
        metadata : dict
            Metadata of the files, beside the layer.

        Returns
        -------
        dict of str to dict
            By layer, `file`, `rows`, `width` and `sha256`.

        Raises
        ------
        InputError
            If a row was never stored.
        """
        files = {}
        for layer, width in self.widths.items():
            schema = embeddings_schema(width, self.dtype.name, chunk=True)
            schema = metadata_schema(schema, {**metadata, "layer": layer})
            path = folder / f"{layer}.parquet"
            group = row_group_rows(width, self.dtype.itemsize)
            with table_writer(path, schema) as writer:
                for start in range(0, self.rows.count, group):
                    stop = min(start + group, self.rows.count)
                    keys = self.rows.keys(start, stop)
                    values = self._read(layer, start, stop)
                    table = pa.table({**keys, "embedding": vectors(values)}, schema=schema)
                    writer.write_table(check_embeddings(table, values, str(path)))
                    self.beat()
            files[layer] = {
                "file": path.name,
                "rows": self.rows.count,
                "width": width,
                "sha256": file_sha256(path),
            }
        return files

    def _check_room(self) -> None:
        row_bytes = sum(self.widths.values()) * self.dtype.itemsize
        # Twice: in the work folder, and in the Parquet files.
        needed = 2 * self.rows.count * row_bytes - _bytes_in(self.work)
        free = shutil.disk_usage(self.work).free
        if needed > free:
            raise InputError(
                f"{self.work}: the rows of this shard need {human_bytes(needed)}, and its disk has "
                f"{human_bytes(free)} free: free disk space, or set fewer layers or larger bins"
            )

    def _read_journal(self) -> dict | None:
        """The journal, if there is an undamaged one of the same key."""
        path = self.work / JOURNAL
        if not path.exists():
            return None
        try:
            journal = read_json(path)
        except InputError as error:
            log.warning("%s: starting from the first pack", error)
            return None
        if journal["key"] != self.key:
            log.info(
                "%s is of other packs, weights or settings: starting from the first pack", path
            )
            return None
        return journal

    def _forget(self) -> None:
        (self.work / JOURNAL).unlink(missing_ok=True)
        for path in self.work.glob("*.rows"):
            path.unlink()

    def _write(self, layer: str, values: np.ndarray, first_row: int) -> None:
        """Write consecutive rows from `first_row` on, (n, width)."""
        view, offset = memoryview(values).cast("B"), first_row * values.shape[1] * values.itemsize
        with disk_faults(self.work / f"{layer}.rows"):
            while view:
                written = os.pwrite(self._files[layer], view, offset)
                view, offset = view[written:], offset + written

    def _read(self, layer: str, start: int, stop: int) -> np.ndarray:
        """Rows [start, stop), (n, width); NaN behind the end of the file."""
        values = np.full((stop - start, self.widths[layer]), np.nan, self.dtype)
        view, offset = memoryview(values).cast("B"), start * values.shape[1] * values.itemsize
        while view:
            count = os.preadv(self._files[layer], [view], offset)
            if not count:
                break
            view, offset = view[count:], offset + count
        return values

    def _stored_crc(self, row_index: np.ndarray) -> int | None:
        """The CRC-32 of rows as `put` computes it: layer by layer, in the order of the rows. None
        if a value is not finite: earlier versions kept such rows."""
        row_index, crc = np.sort(row_index), 0
        for layer in self.widths:
            for start, stop, first_row in _runs(row_index):
                values = self._read(layer, first_row, first_row + stop - start)
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


def _bytes_in(folder: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in folder.glob("*.rows"))
