"""The unfinished rows of a shard on disk: written pack by pack, so that a killed job resumes."""

import contextlib
import shutil
import time
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from evo2_embed.embed.overlap import HostCopy
from evo2_embed.embed.progress import Progress, ProgressFile
from evo2_embed.embed.row_files import Column, RowFiles
from evo2_embed.embed.rows import ShardRows
from evo2_embed.io.errors import InputError
from evo2_embed.io.files import read_json, write_json
from evo2_embed.io.finite import NotFiniteError, as_stored
from evo2_embed.io.logs import log
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
    columns : dict of str to Column
        What a row has, by layer, or `scores`.
    n_tokens : int
        Tokens of the shard.
    """

    key: str
    rows: ShardRows
    columns: dict[str, Column]
    n_tokens: int


class RowStore:
    """Vectors and scores of a shard, written pack by pack in any order, read in the final order of
    the rows.

    The work folder holds one file per column, and a journal of the packs whose rows are safely on
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
        self.n_tokens, self.columns = contents.n_tokens, contents.columns
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
        self._files = RowFiles(self.work, self.columns)
        self._progress = ProgressFile(work)
        self._show(loaded=False)

    def __enter__(self) -> "RowStore":
        return self

    def __exit__(self, kind, *error) -> None:
        if kind is not None:
            # Keep the finished packs, if the disk can still be written.
            with contextlib.suppress(OSError, InputError):
                self.save()
        self._files.close()

    @property
    def tokens(self) -> int:
        """Tokens of the packs that are stored."""
        return sum(tokens for tokens, _ in self.done.values())

    def keep_whole(self, row_indices: dict[int, dict[str, np.ndarray]]) -> None:
        """Forget stored packs whose rows are damaged, or that do not belong to the shard.

        Parameters
        ----------
        row_indices : dict of int to dict
            By number of a pack and column, the indices of the rows that end in it.
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
        self._show()

    def put(
        self,
        number: int,
        n_tokens: int,
        row_index: dict[str, np.ndarray],
        values: dict[str, HostCopy],
    ) -> None:
        """Store the rows that end in a pack.

        Parameters
        ----------
        number, n_tokens : int
            Of the pack.
        row_index : dict of str to ndarray of int64, (n,)
            By column, the indices of the rows.
        values : dict of str to HostCopy
            By column, their values, (n, width).

        Raises
        ------
        InputError
            If a value is not finite, or too large for the type of the files.
        """
        crc = 0
        for name, column in self.columns.items():
            order = np.argsort(row_index[name])
            rows = row_index[name][order]
            try:
                ordered = as_stored(values[name].numpy()[order], column.dtype)
            except NotFiniteError as error:
                first, count = self.rows.place(rows[error.rows[0]]), len(error.rows)
                raise InputError(
                    f"layer '{name}': {error} in {count} of {len(rows)} rows of pack "
                    f"{number}; the first is {first} ({_ADVICE[error.too_large]})"
                ) from None
            crc = zlib.crc32(ordered, crc)
            self._files.write(name, rows, ordered)
        # Last: the journal must not list a pack before its rows are written.
        self.done[number] = (n_tokens, crc)
        self.beat()
        seconds = self.seconds + time.monotonic() - self._started
        self._progress.show(Progress(self.tokens, self.n_tokens, seconds, loaded=True))
        if time.monotonic() - self._saved >= self.save_every:
            self.save()

    def save(self) -> None:
        """Flush the rows to the disk, then write the journal."""
        self._files.flush()
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
        self._show()

    def read(self, name: str, start: int, stop: int) -> np.ndarray:
        """Rows [start, stop) of a column, (n, width); NaN where none was stored."""
        return self._files.read(name, start, stop)

    def _show(self, loaded: bool = True) -> None:
        """Say at once how far the job is."""
        progress = Progress(self.tokens, self.n_tokens, self.seconds, loaded)
        self._progress.show(progress, at_once=True)

    def _check_room(self) -> None:
        row_bytes = sum(column.row_bytes for column in self.columns.values())
        # Twice: in the work folder, and in the Parquet files.
        needed = 2 * self.rows.count * row_bytes - RowFiles.size(self.work)
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
        RowFiles.remove(self.work)

    def _stored_crc(self, row_index: dict[str, np.ndarray]) -> int | None:
        """The CRC-32 of rows as `put` computes it: column by column, in the order of the rows. None
        if a value is not finite: earlier versions kept such rows."""
        crc: int | None = 0
        for name in self.columns:
            crc = self._files.crc(name, np.sort(row_index[name]), crc)
            if crc is None:
                return None
        return crc
