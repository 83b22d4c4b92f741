"""A dataset, opened from its record: its part files, keys and vectors."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow.types import is_fixed_size_list, is_list

from evo2_embed.dataset.part_names import bundle_of
from evo2_embed.io.errors import InputError, InputErrors
from evo2_embed.io.files import read_json
from evo2_embed.io.tables import (
    KEYS,
    check_file,
    embeddings_schema,
    open_table,
    vectors_to_numpy,
)


@dataclass(frozen=True)
class Dataset:
    """The dataset of a layer or of a fusion.

    Every method that reads part files checks them against the record first, and raises an
    `InputError` if one is missing, damaged or changed. `check_sizes` compares sizes only, and so
    does `open_part` if it is asked to.

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

    @classmethod
    def open(cls, path: str | Path) -> Self:
        """Read the record of a dataset.

        Raises
        ------
        InputError
            If the record is missing, damaged or edited.
        """
        return cls(Path(path), read_json(path))

    def of_bundle(self, bundle: str) -> Self:
        """The rows of a bundle."""
        parts = [part for part in self.record["parts"] if bundle_of(part["file"]) == bundle]
        rows = sum(part["rows"] for part in parts)
        return type(self)(self.path, {**self.record, "rows": rows, "parts": parts})

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

    @property
    def vector_column(self) -> str | None:
        """Column of the vectors; None if the dataset has none."""
        return "embedding"

    @property
    def key_columns(self) -> list[str]:
        """Columns that are not lists of numbers."""
        return [
            field.name
            for field in self.schema
            if not (is_fixed_size_list(field.type) or is_list(field.type))
        ]

    def open_part(self, number: int, whole: bool = True) -> pq.ParquetFile:
        """Open a part file.

        Parameters
        ----------
        number : int
            Index into the parts of the record.
        whole : bool
            Whether its digest is compared, for which the whole file is read, once for each version
            of the file. Otherwise its size is.
        """
        part = self.record["parts"][number]
        check = {"sha256": part["sha256"]} if whole else {"size": part["bytes"]}
        return open_table(self.folder / part["file"], self.schema, **check)

    def check_sizes(self) -> None:
        """Check that all part files exist and have their sizes; reads nothing of them.

        Raises
        ------
        InputError
            With one line per file that is missing or of another size.
        """
        self._check(lambda part: check_file(self.folder / part["file"], size=part["bytes"]))

    def verify(self) -> None:
        """Compare the digests of all part files with the record; reads all of them.

        Raises
        ------
        InputError
            With one line per file that is missing, damaged or changed.
        """
        self._check(lambda part: check_file(self.folder / part["file"], part["sha256"]))

    def _check(self, check: Callable[[dict], None]) -> None:
        faults = []
        for part in self.record["parts"]:
            try:
                check(part)
            except InputError as error:
                faults.append(str(error))
        if faults:
            raise InputErrors(faults)

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
        return vectors_to_numpy(table[self.vector_column], self.width).astype(np.float32)

    def _part_files(self) -> Iterator[pq.ParquetFile]:
        yield from map(self.open_part, range(len(self.record["parts"])))


def to_polars(table: pa.Table) -> pl.DataFrame:
    """Rows of a table with the columns `genome` and `contig`, these as strings."""
    frame = pl.from_arrow(table.unify_dictionaries())
    return frame.with_columns(pl.col("genome", "contig").cast(pl.String))
