"""A dataset, opened from its record: its part files, keys and vectors."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from evo2_embed.dataset.part_names import bundle_of
from evo2_embed.io.files import read_json
from evo2_embed.io.tables import KEYS, embeddings_schema, open_table, vectors_to_numpy


@dataclass(frozen=True)
class Dataset:
    """The dataset of a layer or of a fusion.

    Every method that reads part files checks them against the record first, and raises an
    `InputError` if one is missing, damaged or changed.

    Attributes
    ----------
    path : Path
        The record, `{name}.json`. The part files are in the folder `{name}` beside it.
    record : dict
        Content of the record, or the entry of the dataset in the manifest. Both have `rows`,
        `width`, `dtype` and `parts` (of each part file `file`, `rows`, `bytes` and `sha256`).
    """

    path: Path
    record: dict

    @staticmethod
    def open(path: str | Path) -> "Dataset":
        """Read the record of a dataset.

        Raises
        ------
        InputError
            If the record is missing, damaged or edited.
        """
        return Dataset(Path(path), read_json(path))

    def of_bundle(self, bundle: str) -> "Dataset":
        """The rows of a bundle."""
        parts = [part for part in self.record["parts"] if bundle_of(part["file"]) == bundle]
        rows = sum(part["rows"] for part in parts)
        return Dataset(self.path, {**self.record, "rows": rows, "parts": parts})

    @property
    def name(self) -> str:
        """Name of the layer or fusion."""
        return self.path.name.removesuffix(".json")

    @property
    def folder(self) -> Path:
        """Folder of the part files."""
        return self.path.with_name(self.name)

    @property
    def rows(self) -> int:
        """Number of rows."""
        return self.record["rows"]

    @property
    def width(self) -> int:
        """Dimensions of an embedding."""
        return self.record["width"]

    @property
    def has_variants(self) -> bool:
        """Whether some rows are of variants."""
        return self.record.get("variants", False)

    @property
    def schema(self) -> pa.Schema:
        """Columns: `tables.KEYS` and `embedding`; also `tables.OF_VARIANT` if some rows are of
        variants."""
        return embeddings_schema(self.width, self.record["dtype"], variants=self.has_variants)

    def row_groups(self, columns: Sequence[str] | None = None) -> Iterator[pa.Table]:
        """All rows in their order, one row group at a time.

        Parameters
        ----------
        columns : sequence of str, optional
            Columns to read; all if not given.
        """
        for file in self._part_files():
            for group in range(file.num_row_groups):
                yield file.read_row_group(group, columns=columns)

    def keys(self, columns: Sequence[str] = KEYS) -> pl.DataFrame:
        """Key columns of all rows; `genome` and `contig` as strings."""
        empty = self.schema.empty_table().select(columns)
        return to_polars(pa.concat_tables([empty, *self.row_groups(columns)]))

    def read_at(self, rows: np.ndarray) -> tuple[pl.DataFrame, np.ndarray]:
        """Keys and embeddings of some rows, see `take`.

        Returns
        -------
        keys : DataFrame, n rows
            The columns `tables.KEYS`; `genome` and `contig` as strings.
        vectors : ndarray of float32, (n, width)
        """
        table = self.take(rows)
        return to_polars(table.select(KEYS)), self.vectors(table)

    def take(self, rows: np.ndarray) -> pa.Table:
        """Some rows. Only the row groups that hold them are read.

        Parameters
        ----------
        rows : ndarray of int64, (n,)
            Row indices, ascending.
        """
        tables, first = [self.schema.empty_table()], 0
        for file in self._part_files():
            for group in range(file.num_row_groups):
                stop = first + file.metadata.row_group(group).num_rows
                wanted = rows[(rows >= first) & (rows < stop)] - first
                if len(wanted):
                    tables.append(file.read_row_group(group).take(wanted))
                first = stop
        return pa.concat_tables(tables)

    def vectors(self, table: pa.Table) -> np.ndarray:
        """Embeddings of rows that `row_groups` gave: float32, (n, width)."""
        return vectors_to_numpy(table["embedding"], self.width).astype(np.float32)

    def _part_files(self) -> Iterator[pq.ParquetFile]:
        schema = self.schema
        for part in self.record["parts"]:
            yield open_table(self.folder / part["file"], schema, part["sha256"])


def to_polars(table: pa.Table) -> pl.DataFrame:
    """Rows of a table with the columns `genome` and `contig`, these as strings."""
    frame = pl.from_arrow(table.unify_dictionaries())
    return frame.with_columns(pl.col("genome", "contig").cast(pl.String))
