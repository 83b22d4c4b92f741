"""The + and - rows of the same bases, joined.

Partners have the same genome, contig, start, end and name. Bins of overlapping windows may have all
of these in common. They are paired in their order, which is that of their windows on either strand.
"""

from collections.abc import Iterable, Iterator

import numpy as np
import polars as pl
import pyarrow as pa

from evo2_embed.dataset.dataset import to_polars
from evo2_embed.io.errors import InputError
from evo2_embed.io.text import shown

_BASES = ("genome", "contig", "start", "end", "name")
_SMALLER = {"context", "scored"}
_START = ("genome", "contig", "start")


def find_partners(keys: pl.DataFrame) -> np.ndarray:
    """The row of the same bases on the other strand, for each row.

    Parameters
    ----------
    keys : DataFrame, n rows
        Columns genome, contig, start, end, strand and name, in the order of a dataset.

    Returns
    -------
    ndarray of int64, (n,)
        Row indices; -1 where a row has no partner.
    """
    rows = keys.select(*_BASES, "strand").with_row_index("row")
    rows = rows.with_columns(turn=pl.int_range(pl.len()).over(*_BASES, "strand"))
    plus, minus = (rows.filter(pl.col("strand") == strand) for strand in "+-")
    pairs = plus.join(minus, on=[*_BASES, "turn"], nulls_equal=True, suffix="_minus")
    partners = np.full(len(keys), -1)
    partners[pairs["row"]], partners[pairs["row_minus"]] = pairs["row_minus"], pairs["row"]
    return partners


def join_vectors(plus: np.ndarray, minus: np.ndarray, how: str) -> np.ndarray:
    """Vectors of the two strands as one vector: their mean, or side by side with + first.

    Parameters
    ----------
    plus, minus : ndarray, (n, width)
    how : {"mean", "concat"}

    Returns
    -------
    ndarray of the same type, (n, width) or (n, 2 width)
    """
    if how == "concat":
        return np.concatenate([plus, minus], axis=1)
    return (plus + minus) / np.float32(2)


def join_strands(
    batches: Iterable[tuple[pa.Table, np.ndarray]], how: str
) -> Iterator[tuple[pa.Table, np.ndarray]]:
    """Join the strands of rows that come in batches, in the order of a dataset.

    Partners have the same start. So memory holds one batch, and from the batch before it only the
    rows that have the start of its last row.

    Parameters
    ----------
    batches : iterable of (Table, ndarray)
        Keys, and vectors (n, width).
    how : {"mean", "concat"}

    Yields
    ------
    keys : Table
        Keys of the + rows; `context`, and `scored` if there is one, are the smaller of the two
        strands.
    vectors : ndarray of the type of the vectors

    Raises
    ------
    InputError
        At the end, if rows have no partner.
    """
    held: tuple[pa.Table, np.ndarray] | None = None
    unpaired = _Unpaired()
    for batch in batches:
        table, values = batch if held is None else _append(held, batch)
        ready = _last_start(table)
        held = table.slice(ready), values[ready:]
        if ready:
            yield _joined(table.slice(0, ready), values[:ready], how, unpaired)
    if held is not None:
        yield _joined(*held, how, unpaired)
    unpaired.check()


class _Unpaired:
    """Counts rows, and rows without a partner; keeps the first of these for the message."""

    def __init__(self):
        self.rows, self.number, self.first = 0, 0, None

    def add(self, keys: pl.DataFrame, alone: np.ndarray) -> None:
        self.rows += len(keys)
        self.number += len(alone)
        if self.first is None and len(alone):
            self.first = keys.row(int(alone[0]), named=True)

    def check(self) -> None:
        if self.first is None:
            return
        row = self.first
        name = f" '{shown(row['name'])}'" if row["name"] is not None else ""
        where = (
            f"{shown(row['contig'])}:{row['start']}-{row['end']}{name} of genome {row['genome']}"
        )
        raise InputError(
            f"strands: {self.number} of {self.rows} rows have no partner on the other strand; the "
            f"first is {where}, strand {row['strand']}. Regions must not name a strand; the "
            "lengths of all windows, also of the last window of a contig, must be multiples of the "
            "bin (bin 1 always fits); or set strands: keep"
        )


def _joined(
    table: pa.Table, values: np.ndarray, how: str, unpaired: _Unpaired
) -> tuple[pa.Table, np.ndarray]:
    keys = to_polars(table)
    partners = find_partners(keys)
    unpaired.add(keys, np.flatnonzero(partners < 0))
    plus = np.flatnonzero((keys["strand"] == "+").to_numpy() & (partners >= 0))
    minus = partners[plus]
    joined = table.take(plus)
    for name in _SMALLER.intersection(table.column_names):
        index, both = joined.schema.get_field_index(name), table[name].to_numpy()
        smaller = pa.array(np.minimum(both[plus], both[minus]))
        joined = joined.set_column(index, joined.schema.field(index), smaller)
    return joined, join_vectors(values[plus], values[minus], how)


def _append(held: tuple[pa.Table, np.ndarray], batch: tuple[pa.Table, np.ndarray]) -> tuple:
    table = pa.concat_tables([held[0], batch[0]]).unify_dictionaries().combine_chunks()
    return table, np.concatenate([held[1], batch[1]])


def _last_start(table: pa.Table) -> int:
    """Index of the first of the last rows that all have the same start."""
    starts = to_polars(table.select(list(_START)))
    same = pl.all_horizontal(pl.col(column) == pl.col(column).last() for column in _START)
    others = np.flatnonzero(~starts.select(same).to_series().to_numpy())
    return int(others[-1]) + 1 if len(others) else 0
