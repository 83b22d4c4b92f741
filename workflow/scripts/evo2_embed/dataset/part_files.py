"""The part files of a bundle, written row group by row group."""

from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa

from evo2_embed.io.digests import file_sha256
from evo2_embed.io.files import atomic_directory
from evo2_embed.io.tables import SCORE_COLUMNS, parquet_writer, row_group_rows

PART_BYTES = 256 << 20  # bytes of vectors, before compression


def write_parts(
    folder: str | Path, tables: Iterable[pa.Table], schema: pa.Schema, width: int
) -> list[dict]:
    """Write the part files of a bundle with bounded memory.

    Parameters
    ----------
    folder : path
        Replaced as a whole.
    tables : iterable of Table
        Rows in their final order.
    schema : Schema
        With the metadata of the part files.
    width : int
        Numbers per row, for the size of row groups.

    Returns
    -------
    list of dict
        Of each part file `file`, `rows`, `bytes` and `sha256`.
    """
    with atomic_directory(folder) as temporary:
        writer = PartWriter(temporary, schema, width)
        for table in tables:
            writer.add(table)
        writer.close()
    return writer.files


class PartWriter:
    """Row groups of equal size, in part files of at most `PART_BYTES`."""

    def __init__(self, folder: Path, schema: pa.Schema, width: int):
        self.folder, self.schema = folder, schema
        itemsize = _itemsize(schema)
        self.group = row_group_rows(width, itemsize)
        self.part_rows = max(1, PART_BYTES // (width * itemsize * self.group)) * self.group
        self.files: list[dict] = []
        self.buffer: list[pa.Table] = []
        self.buffered = self.written = 0
        self.writer = None

    def add(self, table: pa.Table) -> None:
        """Add rows; write every full row group."""
        self.buffer.append(table.select(self.schema.names))
        self.buffered += len(table)
        while self.buffered >= self.group:
            self._write(self.group)

    def close(self) -> None:
        """Write the remaining rows. A bundle without rows has one empty part file."""
        if self.buffered or not self.files:
            self._write(self.buffered)
        self._end_part()

    def _write(self, rows: int) -> None:
        whole = pa.concat_tables(self.buffer) if self.buffer else self.schema.empty_table()
        self.buffer, self.buffered = [whole.slice(rows)], len(whole) - rows
        if self.writer is not None and self.written >= self.part_rows:
            self._end_part()
        if self.writer is None:
            self.path = self.folder / f"part-{len(self.files):05d}.parquet"
            self.writer, self.written = parquet_writer(self.path, self.schema), 0
        # One dictionary per row group, also for rows of several tables.
        group = whole.slice(0, rows).unify_dictionaries().combine_chunks()
        self.writer.write_table(group.cast(self.schema), row_group_size=max(rows, 1))
        self.written += rows

    def _end_part(self) -> None:
        if self.writer is None:
            return
        self.writer.close()
        self.writer = None
        self.files.append(
            {
                "file": self.path.name,
                "rows": self.written,
                "bytes": self.path.stat().st_size,
                "sha256": file_sha256(self.path),
            }
        )


def _itemsize(schema: pa.Schema) -> int:
    """Bytes per number of a vector; without vectors, bytes of all numbers of a row but its keys,
    with one of each list."""
    for field in schema:
        if pa.types.is_fixed_size_list(field.type):
            return field.type.value_type.bit_width // 8
    types = [f.type for f in schema if pa.types.is_floating(f.type) or f.name in SCORE_COLUMNS]
    types += [field.type.value_type for field in schema if pa.types.is_list(field.type)]
    return sum(number.bit_width // 8 for number in types)
