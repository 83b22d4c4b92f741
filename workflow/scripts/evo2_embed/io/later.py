"""Columns of tables that came later: files made before them are read as if they had them."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

# By name, the value of every row of a file made before the column came.
LATER = {
    "parts": None,
    "exons": 1,
    "variant": None,
    "id": None,
    "allele": None,
    "parent": None,
    "fork": None,
    "insert": None,
    "length": None,
}


def is_older(found: pa.Schema, schema: pa.Schema) -> bool:
    """Whether a file with the columns `found` was made before some of those of `schema` came."""
    missing = {name for name in schema.names if name not in found.names}
    known = pa.schema([field for field in schema if field.name not in missing])
    return (
        missing <= LATER.keys()
        # `length` came later in pack files only.
        and all(schema.field(name).nullable or LATER[name] is not None for name in missing)
        and found.equals(known)
    )


class OlderFile(pq.ParquetFile):
    """A Parquet file made before some columns of its table came. All that is read from it has them.

    Parameters
    ----------
    path : path
    schema : pyarrow.Schema
        The columns of the table today.
    """

    def __init__(self, path: str | Path, schema: pa.Schema):
        super().__init__(path)
        self.schema_today = schema
        self.names = set(super().schema_arrow.names)  # that it has

    @property
    def schema_arrow(self) -> pa.Schema:
        """The columns of the table today, with the metadata of the file."""
        return self.schema_today.with_metadata(super().schema_arrow.metadata)

    def read(self, columns: list[str] | None = None) -> pa.Table:
        """All rows."""
        return self._today(super().read(self._known(columns)), columns)

    def read_row_group(self, i: int, columns: list[str] | None = None) -> pa.Table:
        """The rows of a row group."""
        return self._today(super().read_row_group(i, self._known(columns)), columns)

    def read_row_groups(self, row_groups: list[int], columns: list[str] | None = None) -> pa.Table:
        """The rows of some row groups."""
        return self._today(super().read_row_groups(row_groups, self._known(columns)), columns)

    def iter_batches(
        self, batch_size: int = 65536, columns: list[str] | None = None
    ) -> Iterator[pa.RecordBatch]:
        """All rows, `batch_size` at a time."""
        for batch in super().iter_batches(batch_size, columns=self._known(columns)):
            yield from self._today(pa.Table.from_batches([batch]), columns).to_batches()

    def _known(self, columns: list[str] | None) -> list[str] | None:
        """Those of the columns that the file has."""
        return columns and [name for name in columns if name in self.names]

    def _today(self, table: pa.Table, columns: list[str] | None) -> pa.Table:
        """Rows of the file with all columns that were asked for."""
        fields = [self.schema_today.field(name) for name in columns or self.schema_today.names]
        filled = [
            table[field.name]
            if field.name in table.column_names
            else pa.repeat(pa.scalar(LATER[field.name], field.type), len(table))
            for field in fields
        ]
        return pa.table(filled, pa.schema(fields, table.schema.metadata))
