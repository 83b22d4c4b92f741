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

_BASES = ("genome", "contig", "start", "end", "name")
_PLACE = ("genome", "contig", "start")


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
    """Vectors of two strands as one: `mean`, or `concat`, + first.

    Parameters
    ----------
    plus, minus : ndarray of float32, (n, width)
    how : {"mean", "concat"}

    Returns
    -------
    ndarray of float32, (n, width) or (n, 2 width)
    """
    if how == "concat":
        return np.concatenate([plus, minus], axis=1)
    return (plus + minus) / np.float32(2)


def join_strands(
    pieces: Iterable[tuple[pa.Table, np.ndarray]], how: str
) -> Iterator[tuple[pa.Table, np.ndarray]]:
    """Join the strands of rows that come in pieces, in the order of a dataset.

    Partners start at the same base, so no more is held than the rows that start at the last one.

    Parameters
    ----------
    pieces : iterable of (Table, ndarray)
        Keys, and vectors (n, width).
    how : {"mean", "concat"}

    Yields
    ------
    keys : Table
        Those of the + rows; `context` is the smaller one of the two strands.
    vectors : ndarray of float32

    Raises
    ------
    InputError
        At the end, when rows have no partner.
    """
    held: tuple[pa.Table, np.ndarray] | None = None
    lost = _Lost()
    for piece in pieces:
        table, values = piece if held is None else _after(held, piece)
        ready = _last_place(table)
        held = table.slice(ready), values[ready:]
        if ready:
            yield _joined(table.slice(0, ready), values[:ready], how, lost)
    if held is not None:
        yield _joined(*held, how, lost)
    lost.check()


class _Lost:
    """Rows that have no partner: how many, and the first."""

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
        name = f" '{row['name']}'" if row["name"] is not None else ""
        where = f"{row['contig']}:{row['start']}-{row['end']}{name} of genome {row['genome']}"
        raise InputError(
            f"strands: {self.number} of {self.rows} rows have no partner on the other strand; the "
            f"first is {where}, strand {row['strand']}. Regions must not name a strand; windows, "
            "also the last of a contig, must be multiples of the bin (bin 1 always fits); or set "
            "strands: keep"
        )


def _joined(
    table: pa.Table, values: np.ndarray, how: str, lost: _Lost
) -> tuple[pa.Table, np.ndarray]:
    keys = to_polars(table)
    partners = find_partners(keys)
    lost.add(keys, np.flatnonzero(partners < 0))
    plus = np.flatnonzero((keys["strand"] == "+").to_numpy() & (partners >= 0))
    minus = partners[plus]
    joined = table.take(plus)
    seen = table["context"].to_numpy()
    place, field = joined.schema.get_field_index("context"), joined.schema.field("context")
    least = pa.array(np.minimum(seen[plus], seen[minus]))
    joined = joined.set_column(place, field, least)
    return joined, join_vectors(values[plus], values[minus], how)


def _after(held: tuple[pa.Table, np.ndarray], piece: tuple[pa.Table, np.ndarray]) -> tuple:
    table = pa.concat_tables([held[0], piece[0]]).unify_dictionaries().combine_chunks()
    return table, np.concatenate([held[1], piece[1]])


def _last_place(table: pa.Table) -> int:
    """Number of the first of the last rows that all start at the same base."""
    places = to_polars(table.select(list(_PLACE)))
    same = pl.all_horizontal(pl.col(column) == pl.col(column).last() for column in _PLACE)
    others = np.flatnonzero(~places.select(same).to_series().to_numpy())
    return int(others[-1]) + 1 if len(others) else 0
