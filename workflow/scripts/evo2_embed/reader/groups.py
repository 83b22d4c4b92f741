"""The row groups of a dataset: where they are, and which may hold the rows of a query."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow as pa

from evo2_embed.dataset.dataset import Dataset, to_polars
from evo2_embed.reader.parts import each_part

ROW = "row"
_BOUNDED = ("genome", "contig", "start", "end", "position")


@dataclass(frozen=True)
class RowGroups:
    """The row groups of a dataset, from the footers of its part files.

    Attributes
    ----------
    dataset : Dataset
    table : DataFrame, one row per row group
        `part` and `number` (in its part file), `first` (row of the dataset) and `rows`. Of the
        columns genome, contig, start, end and position those that the dataset has, with their
        smallest and largest values: `start_low`, `start_high` ...; null where they are not known.
    """

    dataset: Dataset
    table: pl.DataFrame

    @staticmethod
    def of(dataset: Dataset) -> "RowGroups":
        """Read the footers of all part files. Their sizes are checked, not their digests."""
        columns = [name for name in _BOUNDED if name in dataset.schema.names]
        tables = each_part(dataset, lambda part: _footer(dataset, part, columns))
        table = pl.concat([_empty(columns), *tables], how="vertical_relaxed")
        first = pl.col("rows").cum_sum() - pl.col("rows")
        return RowGroups(dataset, table.with_columns(first=first))

    def unique(self, columns: list[str]) -> pl.DataFrame:
        """The different values of some key columns in each row group, with its index `group`."""
        groups = self.table.with_row_index("group").with_columns(pl.col("group").cast(pl.Int64))
        known, unread = [], groups
        if all(f"{name}_low" in groups.columns for name in columns):
            # One value only: no need to read it.
            single = [pl.col(f"{name}_low") == pl.col(f"{name}_high") for name in columns]
            single = pl.all_horizontal(single).fill_null(False)
            values = [pl.col(f"{name}_low").alias(name) for name in columns]
            known.append(groups.filter(single).select(*values, "group"))
            unread = groups.filter(~single)

        def read(part: int) -> pl.DataFrame:
            mine = unread.filter(pl.col("part") == part)
            if not len(mine):
                return pl.DataFrame()
            file = self.dataset.open_part(part, whole=False)
            rows = pa.concat_tables(
                [file.read_row_group(number, columns=columns) for number in mine["number"]]
            )
            found = pl.from_arrow(rows.unify_dictionaries()).select(pl.col(columns).cast(pl.String))
            group = np.repeat(mine["group"].to_numpy(), mine["rows"].to_numpy())
            return found.with_columns(group=group).unique(maintain_order=True)

        known += [each for each in each_part(self.dataset, read) if len(each)]
        empty = {**dict.fromkeys(columns, pl.String), "group": pl.Int64}
        return pl.concat([pl.DataFrame(schema=empty), *known]).sort("group", maintain_order=True)

    def select(self, groups: np.ndarray, where: pl.Expr) -> pl.DataFrame:
        """The rows of some row groups for which an expression of key columns is true.

        Parameters
        ----------
        groups : ndarray of int64, (n,)
            Ascending indices.
        where : Expr
            Of key columns and `row`.

        Returns
        -------
        DataFrame
            `row`, and all columns of the dataset; `genome` and `contig` as strings.
        """
        keys = self.dataset.key_columns
        tables = [with_rows(self.dataset.schema.empty_table(), 0)]
        for file, number, first in self._open(groups):
            found = to_polars(with_rows(file.read_row_group(number, columns=keys), first))
            index = found.filter(where)[ROW].to_numpy() - first
            if len(index):
                tables.append(with_rows(file.read_row_group(number), first).take(index))
        return to_polars(pa.concat_tables(tables))

    def at(self, rows: np.ndarray, columns: list[str] | None = None) -> pl.DataFrame:
        """Some rows, in the order of `rows`, as `select` gives them.

        Parameters
        ----------
        rows : ndarray of int64, (n,)
        columns : list of str, optional
            Columns to read, `genome` and `contig` among them; all if not given.
        """
        order = np.argsort(rows, kind="stable")
        ascending = rows[order]
        last = self.table["first"].to_numpy() + self.table["rows"].to_numpy()
        groups = np.searchsorted(last, ascending, side="right")
        columns = columns or self.dataset.schema.names
        tables = [with_rows(self.dataset.schema.empty_table().select(columns), 0)]
        wanted = np.unique(groups)
        for group, (file, number, first) in zip(wanted, self._open(wanted), strict=True):
            mine = ascending[groups == group] - first
            tables.append(with_rows(file.read_row_group(number, columns=columns), first).take(mine))
        return to_polars(pa.concat_tables(tables))[np.argsort(order)]

    def _open(self, groups: np.ndarray) -> Iterator[tuple]:
        """Of each row group: its open part file, its number there, and its first row."""
        opened, file = None, None
        for part, number, first in self.table[groups].select("part", "number", "first").iter_rows():
            if part != opened:
                opened, file = part, self.dataset.open_part(part, whole=False)
            yield file, number, first


def with_rows(table: pa.Table, first: int) -> pa.Table:
    """A table with its rows' numbers as the first column."""
    rows = pa.array(np.arange(first, first + len(table), dtype=np.int64))
    return table.replace_schema_metadata().add_column(0, ROW, rows)


def _footer(dataset: Dataset, part: int, columns: list[str]) -> pl.DataFrame:
    metadata = dataset.open_part(part, whole=False).metadata
    index = {
        metadata.schema.column(i).path: i
        for i in range(metadata.num_columns)
        if metadata.schema.column(i).path in columns
    }
    rows = []
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        bounds = {}
        for name, i in index.items():
            statistics = group.column(i).statistics
            has = statistics is not None and statistics.has_min_max
            bounds[f"{name}_low"] = statistics.min if has else None
            bounds[f"{name}_high"] = statistics.max if has else None
        rows.append({"part": part, "number": number, "rows": group.num_rows, **bounds})
    return pl.DataFrame(rows, schema=_empty(columns).schema)


def _empty(columns: list[str]) -> pl.DataFrame:
    schema = dict.fromkeys(("part", "number", "rows"), pl.Int64)
    for name in columns:
        kind = pl.String if name in ("genome", "contig") else pl.Int64
        schema |= {f"{name}_low": kind, f"{name}_high": kind}
    return pl.DataFrame(schema=schema)
