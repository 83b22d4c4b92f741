"""The + and - rows of the same bases, joined.

Partners have the same genome, contig, start, end, name and number of tokens. Where windows overlap,
bins of several windows may have all of these in common; they are paired in their order, which is
that of their windows on either strand.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa

from evo2_embed.io.errors import InputError

_BASES = ("genome", "contig", "start", "end", "name", "n_tokens")
_PLACE = ("genome", "contig", "start")


@dataclass(frozen=True)
class Pairs:
    """Numbers of rows: `plus` and `minus` are partners, in the order of `plus`; `alone` have none.

    Each is an ndarray of int64, ascending but for `minus`.
    """

    plus: np.ndarray
    minus: np.ndarray
    alone: np.ndarray


def pair_strands(keys: pl.DataFrame) -> Pairs:
    """Find the partners among rows.

    Parameters
    ----------
    keys : DataFrame
        The columns of a dataset, but for the vectors.
    """
    rows = keys.select(*_BASES, "strand").with_row_index("row")
    rows = rows.with_columns(
        pl.col("genome", "contig").cast(pl.String), pl.col("row").cast(pl.Int64)
    )
    rows = rows.with_columns(turn=pl.int_range(pl.len()).over(*_BASES, "strand"))
    plus, minus = (rows.filter(pl.col("strand") == strand) for strand in "+-")
    both = plus.join(
        minus, on=[*_BASES, "turn"], nulls_equal=True, suffix="_minus", maintain_order="left"
    )
    paired = both["row"].to_numpy(), both["row_minus"].to_numpy()
    return Pairs(*paired, np.setdiff1d(np.arange(len(rows)), np.concatenate(paired)))


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
    keys = pl.from_arrow(table)
    pairs = pair_strands(keys)
    lost.add(keys, pairs.alone)
    joined = table.take(pairs.plus)
    seen = table["context"].to_numpy()
    place, field = joined.schema.get_field_index("context"), joined.schema.field("context")
    least = pa.array(np.minimum(seen[pairs.plus], seen[pairs.minus]))
    joined = joined.set_column(place, field, least)
    return joined, join_vectors(values[pairs.plus], values[pairs.minus], how)


def _after(held: tuple[pa.Table, np.ndarray], piece: tuple[pa.Table, np.ndarray]) -> tuple:
    table = pa.concat_tables([held[0], piece[0]]).unify_dictionaries().combine_chunks()
    return table, np.concatenate([held[1], piece[1]])


def _last_place(table: pa.Table) -> int:
    """Number of the first of the last rows that all start at the same base."""
    places = pl.from_arrow(table.select(list(_PLACE)))
    places = places.with_columns(pl.col("genome", "contig").cast(pl.String))
    same = pl.all_horizontal(pl.col(column) == pl.col(column).last() for column in _PLACE)
    others = np.flatnonzero(~places.select(same).to_series().to_numpy())
    return int(others[-1]) + 1 if len(others) else 0
