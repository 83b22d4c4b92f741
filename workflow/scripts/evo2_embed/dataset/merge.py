"""Rows of the shards of a bundle, merged into their final order.

The rows of a shard are sorted, and shards are sorted by their first rows. Shards overlap where
windows overlap at a border, or where stretches of the `-` strand reach into the next shards. So
several shards are open at a time, each with one row group in memory.

Three windows of 4 bases, one every 2 bases, on both strands. The stretch of the `+` strand is in
the first shard, that of the `-` strand in the second; row groups have 2 rows. A row is shown as its
start and strand, `frontier` is the row up to which all shards have been read:

    step  shard 0  shard 1  frontier  written
    1     0+,2+    0-,2-    2+        0+,0-,2+
    2     4+       2-       2-        2-
    3     4+       4-       4+        4+
    4     end      4-       4-        4-
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from evo2_embed.dataset.shards import Shard
from evo2_embed.embed.rows import ShardRows
from evo2_embed.settings.extraction import Extraction


def merge_shards(
    shards: list[Shard], layer: str, extraction: Extraction, variants: bool = False
) -> Iterator[pa.Table]:
    """The rows of a bundle's shards in their final order, some at a time.

    Parameters
    ----------
    shards : list of Shard
        Shards with rows, in order.
    layer : str
        A layer, or `scores`.
    extraction : Extraction
        `pooling`, `skip_first` and `dtype` are used.
    variants : bool
        Whether the rows have the columns of variants.
    """
    unopened = _open_streams(shards, layer, extraction, variants)
    following = next(unopened, None)
    streams: list[_Stream] = []
    while streams or following is not None:
        # Every open shard has been read up to here at least.
        frontier = min((stream.last for stream in streams), default=None)
        # A shard that starts before the frontier has rows that come before it: open it first.
        if following is not None and (frontier is None or following.first < frontier):
            following.read()
            streams.append(following)
            following = next(unopened, None)
            continue
        yield _interleave([stream.take(frontier) for stream in streams])
        # At least the shard that set the frontier has no rows left in memory.
        for stream in streams:
            if not stream.waiting:
                stream.read()
        streams = [stream for stream in streams if stream.waiting]


class _Stream:
    """The rows of a shard, one row group at a time.

    Parameters
    ----------
    tables : iterator of Table
        Row groups of the shard.
    rows : ShardRows
    first_contig : int
        Number of the shard's first contig in the bundle.

    Attributes
    ----------
    first, last : tuple of int
        Sort keys of the first row of the shard, and of the last row that has been read.
    waiting : int
        Rows that have been read and not taken.
    """

    def __init__(self, tables: Iterator[pa.Table], rows: ShardRows, first_contig: int):
        self.tables, self.rows, self.first_contig = tables, rows, first_contig
        self.n_read = self.waiting = 0
        self.table: pa.Table | None = None
        self.keys = self._sort_keys(0, 1)
        self.first = self.last = self._key(0)

    def read(self) -> None:
        """Read the next row group, if there is one. All rows of the last one must be taken."""
        self.table = next(self.tables, None)
        if self.table is None:
            return
        self.table = self.table.drop_columns(["chunk"])
        self.waiting = len(self.table)
        self.keys = self._sort_keys(self.n_read, self.n_read + self.waiting)
        self.n_read += self.waiting
        self.last = self._key(-1)

    def take(self, frontier: tuple) -> tuple[pa.Table, list[np.ndarray]]:
        """Rows with a sort key of at most `frontier`, and their keys."""
        start, count = len(self.table) - self.waiting, self._count(frontier)
        self.waiting -= count
        rows = slice(start, start + count)
        return self.table.slice(start, count), [column[rows] for column in self.keys]

    def _count(self, frontier: tuple) -> int:
        """Number of waiting rows with a sort key of at most `frontier`."""
        low, high = len(self.table) - self.waiting, len(self.table)
        first = low
        # Column by column, [low, high) shrinks to the rows that equal the frontier so far: all rows
        # before `low` are less, all rows from `high` on are greater.
        for column, value in zip(self.keys, frontier, strict=True):
            equal = column[low:high]
            low, high = (low + int(np.searchsorted(equal, value, side)) for side in _SIDES)
        return high - first

    def _sort_keys(self, start: int, stop: int) -> list[np.ndarray]:
        contig, *others = self.rows.sort_keys(start, stop)
        return [contig + self.first_contig, *others]

    def _key(self, row: int) -> tuple:
        return tuple(int(column[row]) for column in self.keys)


_SIDES = ("left", "right")


def _open_streams(
    shards: list[Shard], layer: str, extraction: Extraction, variants: bool
) -> Iterator[_Stream]:
    """The shards' streams in order. Contigs are numbered through all shards; a contig with rows in
    two shards has one number."""
    last, number = None, -1
    for shard in shards:
        rows = shard.expected_rows(extraction)
        if not rows.count:
            continue  # no base of its bins is pooled
        first, end = ((rows.chunks["genome"][i], rows.chunks["contig"][i]) for i in (0, -1))
        first_contig = number + (first != last)
        last, number = end, first_contig + int(rows.rank[-1])
        tables = shard.tables(layer, extraction.dtype, rows, variants)
        yield _Stream(tables, rows, first_contig)


def _interleave(taken: list[tuple[pa.Table, list[np.ndarray]]]) -> pa.Table:
    """The rows of several tables, sorted by their keys."""
    filled = [(table, keys) for table, keys in taken if len(table)]
    if len(filled) == 1:
        return filled[0][0]
    table = pa.concat_tables([table for table, _ in filled]).unify_dictionaries()
    columns = [np.concatenate(column) for column in zip(*(keys for _, keys in filled), strict=True)]
    # The last key of `lexsort` is the first to sort by.
    return table.take(np.lexsort(columns[::-1]))
