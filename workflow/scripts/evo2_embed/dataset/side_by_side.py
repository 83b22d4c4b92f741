"""Tables of the same rows in different groups, read side by side."""

from collections.abc import Iterator, Sequence

import pyarrow as pa


def side_by_side(sources: Sequence[Iterator[pa.Table]]) -> Iterator[list[pa.Table]]:
    """The same rows of all sources, some at a time; memory holds one table of each.

    It ends with the shortest source.
    """
    held = [_next(source) for source in sources]
    while rows := min(map(len, held)):
        yield [table.slice(0, rows) for table in held]
        held = [
            table.slice(rows) if len(table) > rows else _next(source)
            for table, source in zip(held, sources, strict=True)
        ]


def _next(source: Iterator[pa.Table]) -> pa.Table:
    """The next table with rows; at the end an empty one."""
    return next((table for table in source if len(table)), pa.table({}))
