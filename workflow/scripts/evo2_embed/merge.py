"""Rows of consecutive shards, merged into their final order.

Shards are consecutive ranges of chunks, and each one's rows are sorted, so the dataset is their
concatenation, but where windows overlap or two strands of a window meet at a border: there the rows
of both sides are merged.
"""

import bisect
from collections.abc import Iterator

import pyarrow as pa

from evo2_embed.rows import ShardRows
from evo2_embed.shards import Shard


def merge_shards(shards: list[Shard], layer: str, extraction: dict) -> Iterator[pa.Table]:
    """Rows of a bundle's shards in their final order."""
    waiting: list[tuple[tuple, pa.Table]] = []  # single rows that belong behind a border
    contigs = _ContigNumbers()
    plans = [shard.expected_rows(extraction["pooling"]) for shard in shards[:1]]
    for number, shard in enumerate(shards):
        rows = plans.pop()
        if number + 1 < len(shards):
            plans.append(shards[number + 1].expected_rows(extraction["pooling"]))
        base = contigs.base(rows)
        border = _first_order(plans, contigs)
        row = 0
        for table in shard.tables(layer, extraction["dtype"], rows):
            table = table.drop_columns(["chunk"])
            last = _order(rows, row + len(table) - 1, base)
            end = row + len(table)
            if border is not None and last >= border:
                end = bisect.bisect_left(
                    range(row, end), border, key=lambda r: _order(rows, r, base)
                )
                end += row
            ready = table.slice(0, end - row)
            due = bisect.bisect_right(waiting, last, key=lambda item: item[0])
            if border is not None:
                due = min(due, bisect.bisect_left(waiting, border, key=lambda item: item[0]))
            if due:
                orders = [_order(rows, r, base) for r in range(row, end)]
                ready = _interleave(orders, ready, waiting[:due])
                del waiting[:due]
            if len(ready):
                yield ready
            behind = range(end - row, len(table))
            waiting += [(_order(rows, row + r, base), table.slice(r, 1)) for r in behind]
            waiting.sort(key=lambda item: item[0])
            row += len(table)
    if waiting:
        yield pa.concat_tables([table for _, table in waiting])


class _ContigNumbers:
    """Numbers contigs through the shards of a bundle; one that a border divides keeps its own."""

    def __init__(self):
        self.last, self.number = None, -1

    def base(self, rows: ShardRows) -> int:
        """Number of the first contig of a shard; the shard's others follow."""
        base = self.peek(rows)
        self.number = base + int(rows.rank[-1])
        self.last = (rows.segments["genome"][-1], rows.segments["contig"][-1])
        return base

    def peek(self, rows: ShardRows) -> int:
        """What `base` would say."""
        first = (rows.segments["genome"][0], rows.segments["contig"][0])
        return self.number + (first != self.last)


def _order(rows: ShardRows, row: int, base: int) -> tuple:
    rank, *rest = rows.order(row)
    return (base + rank, *rest)


def _first_order(plans: list[ShardRows], contigs: _ContigNumbers) -> tuple | None:
    if not plans:
        return None
    return _order(plans[0], 0, contigs.peek(plans[0]))


def _interleave(orders: list[tuple], table: pa.Table, waiting: list) -> pa.Table:
    merged = pa.concat_tables([table, *(row for _, row in waiting)])
    keys = orders + [order for order, _ in waiting]
    return merged.take(sorted(range(len(keys)), key=keys.__getitem__))
