"""The rows of a shard in the making: on disk pack by pack, and safe from a kill."""

import contextlib
import os
import shutil
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

from evo2_embed.embed.rows import ShardRows
from evo2_embed.io.digests import file_sha256
from evo2_embed.io.errors import InputError
from evo2_embed.io.files import disk_faults, read_json, write_json
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


class RowStore:
    """Vectors of a shard, written pack by pack in any order, read in the final one.

    The work folder has one file a layer, and a journal of the packs whose rows are safe on the
    disk, with the checksum of each one's. A later store of the same key goes on from there; a pack
    whose rows are not those of its checksum is done again. Memory does not grow with the shard.

    Parameters
    ----------
    work : Path
        The work folder; of the process that made it alone (`lock.exclusive`).
    key : str
        Digest of all that the rows depend on; what was stored under another one is thrown away.
    rows : ShardRows
    widths : dict of str to int
        By layer.
    dtype : {"float32", "float16"}
    n_tokens : int
        Tokens of the shard.
    every : float
        Seconds between two saves of the journal; work of at most that long is lost.
    beat : callable
        Called at every sign of progress.

    Attributes
    ----------
    done : dict of int to tuple
        By number of a pack whose rows are stored: its tokens, and the CRC-32 of the rows.
    seconds : float
        Time between `start` and the last save, that of earlier processes included.
    """

    def __init__(
        self,
        work: Path,
        key: str,
        rows: ShardRows,
        widths: dict[str, int],
        dtype: str,
        n_tokens: int,
        every: float,
        beat: Callable[[], None],
    ):
        self.work, self.key, self.rows, self.n_tokens = work, key, rows, n_tokens
        self.every, self.beat = every, beat
        self.widths, self.dtype = widths, np.dtype(dtype)
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
            for layer in widths
        }

    def __enter__(self) -> "RowStore":
        return self

    def __exit__(self, kind, *error) -> None:
        if kind is not None:
            # What is done is kept, if the disk still takes it.
            with contextlib.suppress(OSError, InputError):
                self.save()
        for file in self._files.values():
            os.close(file)

    @property
    def tokens(self) -> int:
        """Tokens of the packs that are stored."""
        return sum(tokens for tokens, _ in self.done.values())

    def keep_whole(self, places: dict[int, np.ndarray]) -> None:
        """Forget every pack whose rows are damaged, or that is none of the shard's.

        Parameters
        ----------
        places : dict of int to ndarray
            By number of a pack, where the rows are that end in it.
        """
        found, self.done = self.done, {}
        for number, (tokens, crc) in found.items():
            if number in places and self._stored_crc(places[number]) == crc:
                self.done[number] = (tokens, crc)
            self.beat()
        if found:
            log.info(
                "going on with %d of %d tokens; %d of %d packs found in %s are damaged",
                *(self.tokens, self.n_tokens, len(found) - len(self.done), len(found), self.work),
            )

    def start(self) -> None:
        """Count the seconds from now on."""
        self._saved = self._started = time.monotonic()

    def put(self, number: int, tokens: int, places: np.ndarray, values: dict) -> None:
        """Store a pack: by layer the vectors (n, width) of the rows at `places`, host copies."""
        order = np.argsort(places)
        crc = 0
        for layer in self.widths:
            ordered = np.ascontiguousarray(values[layer].numpy()[order].astype(self.dtype))
            crc = zlib.crc32(ordered, crc)
            for start, stop, place in _runs(places[order]):
                self._write(layer, ordered[start:stop], place)
        self.done[number] = (tokens, crc)
        self.beat()
        if time.monotonic() - self._saved >= self.every:
            self.save()

    def save(self) -> None:
        """Bring the rows to the disk, then say so in the journal."""
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
        """Write every layer's Parquet file; its name, rows, width and digest by layer."""
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
        # Once in the work folder, once in the files that are made of it.
        needed = 2 * self.rows.count * row_bytes - _bytes_in(self.work)
        free = shutil.disk_usage(self.work).free
        if needed > free:
            raise InputError(
                f"{self.work}: the rows of this shard need {human_bytes(needed)}, and its disk has "
                f"{human_bytes(free)} free: make room, or choose fewer layers or larger bins"
            )

    def _read_journal(self) -> dict | None:
        """The journal of a store with the same key and layers, if there is a whole one."""
        path = self.work / JOURNAL
        if not path.exists():
            return None
        try:
            journal = read_json(path)
        except InputError as error:
            log.warning("%s: starting anew", error)
            return None
        if journal["key"] != self.key:
            log.info("%s is of other packs, weights or settings: starting anew", path)
            return None
        return journal

    def _forget(self) -> None:
        (self.work / JOURNAL).unlink(missing_ok=True)
        for path in self.work.glob("*.rows"):
            path.unlink()

    def _write(self, layer: str, values: np.ndarray, place: int) -> None:
        view, offset = memoryview(values).cast("B"), place * values.shape[1] * values.itemsize
        with disk_faults(self.work / f"{layer}.rows"):
            while view:
                written = os.pwrite(self._files[layer], view, offset)
                view, offset = view[written:], offset + written

    def _read(self, layer: str, start: int, stop: int) -> np.ndarray:
        """Rows [start, stop), (n, width); what the file does not have is NaN."""
        values = np.full((stop - start, self.widths[layer]), np.nan, self.dtype)
        view, offset = memoryview(values).cast("B"), start * values.shape[1] * values.itemsize
        while view:
            count = os.preadv(self._files[layer], [view], offset)
            if not count:
                break
            view, offset = view[count:], offset + count
        return values

    def _stored_crc(self, places: np.ndarray) -> int:
        places, crc = np.sort(places), 0
        for layer in self.widths:
            for start, stop, place in _runs(places):
                crc = zlib.crc32(self._read(layer, place, place + stop - start), crc)
        return crc


def _runs(places: np.ndarray) -> Iterator[tuple[int, int, int]]:
    """Runs of consecutive numbers in a sorted array: first and last index, first number."""
    if not len(places):
        return
    breaks = np.flatnonzero(np.diff(places) != 1) + 1
    for start, stop in zip([0, *breaks], [*breaks, len(places)], strict=True):
        yield int(start), int(stop), int(places[start])


def _bytes_in(folder: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in folder.glob("*.rows"))
