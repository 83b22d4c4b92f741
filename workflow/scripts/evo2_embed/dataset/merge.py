"""Rows of shards, merged into their final order.

Each shard's rows are sorted, and so are the first rows of the shards. They overlap where windows do
at a border, or the strands of a contig: a shard may have stretches of `-` that reach far into the
next ones. So several shards are open at a time, each with a row group in memory, and all rows that
come before what is not read yet are sorted together.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from evo2_embed.dataset.shards import Shard
from evo2_embed.embed.rows import ShardRows


def merge_shards(shards: list[Shard], layer: str, extraction: dict) -> Iterator[pa.Table]:
    """Rows of a bundle's shards in their final order."""
    coming = _openings(shards, layer, extraction)
    following = next(coming, None)
    streams: list[_Stream] = []
    while streams or following is not None:
        # What is read of every stream reaches to here at least.
        frontier = min((stream.last for stream in streams), default=None)
        if following is not None and (frontier is None or following.first < frontier):
            following.read()
            streams.append(following)
            following = next(coming, None)
            continue
        yield _interleave([stream.take(frontier) for stream in streams])
        for stream in streams:
            if not stream.waiting:
                stream.read()
        streams = [stream for stream in streams if stream.waiting]


class _Stream:
    """A shard's rows, a row group at a time.

    Attributes
    ----------
    first, last : tuple
        Sort keys of the shard's first row, and of the last one that has been read.
    waiting : int
        Rows that have been read and not taken.
    """

    def __init__(self, tables: Iterator[pa.Table], rows: ShardRows, base: int):
        self.tables, self.rows, self.base = tables, rows, base
        self.stop = self.waiting = 0  # rows read, and of these not taken
        self.table: pa.Table | None = None
        self.keys = self._sort_keys(0, 1)
        self.first = self.last = self._key(0)

    def read(self) -> None:
        """Read a row group, once all rows of the one before are taken; none is left at the end."""
        self.table = next(self.tables, None)
        if self.table is None:
            return
        self.table = self.table.drop_columns(["chunk"])
        self.waiting = len(self.table)
        self.keys = self._sort_keys(self.stop, self.stop + self.waiting)
        self.stop += self.waiting
        self.last = self._key(-1)

    def take(self, border: tuple) -> tuple[pa.Table, list[np.ndarray]]:
        """Rows up to a sort key, and their keys."""
        start, count = len(self.table) - self.waiting, self._count(border)
        self.waiting -= count
        rows = slice(start, start + count)
        return self.table.slice(start, count), [column[rows] for column in self.keys]

    def _count(self, border: tuple) -> int:
        """Rows that wait with a sort key of at most `border`."""
        low, high = len(self.table) - self.waiting, len(self.table)
        first = low
        for column, value in zip(self.keys, border, strict=True):
            some = column[low:high]
            low, high = (low + int(np.searchsorted(some, value, side)) for side in _SIDES)
        return high - first

    def _sort_keys(self, start: int, stop: int) -> list[np.ndarray]:
        rank, *others = self.rows.sort_keys(start, stop)
        return [rank + self.base, *others]

    def _key(self, row: int) -> tuple:
        return tuple(int(column[row]) for column in self.keys)


_SIDES = ("left", "right")


def _openings(shards: list[Shard], layer: str, extraction: dict) -> Iterator[_Stream]:
    """The shards' streams in order, their contigs numbered through; one that a border divides
    keeps its number."""
    last, number = None, -1
    for shard in shards:
        rows = shard.expected_rows(extraction["pooling"])
        first, end = ((rows.segments["genome"][i], rows.segments["contig"][i]) for i in (0, -1))
        base = number + (first != last)
        last, number = end, base + int(rows.rank[-1])
        yield _Stream(shard.tables(layer, extraction["dtype"], rows), rows, base)


def _interleave(parts: list[tuple[pa.Table, list[np.ndarray]]]) -> pa.Table:
    """The rows of several tables, sorted by their keys."""
    filled = [part for part in parts if len(part[0])]
    if len(filled) == 1:
        return filled[0][0]
    table = pa.concat_tables([table for table, _ in filled]).unify_dictionaries()
    keys = [np.concatenate(columns) for columns in zip(*(k for _, k in filled), strict=True)]
    return table.take(np.lexsort(keys[::-1]))
