"""Datasets of an extraction's layers, read side by side."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from evo2_embed.dataset.sampling import read_at
from evo2_embed.dataset.shards import SHARED
from evo2_embed.io.errors import InputError
from evo2_embed.io.files import read_json
from evo2_embed.io.tables import KEYS, embeddings_schema, open_table, vectors_to_numpy


@dataclass(frozen=True)
class LayerDataset:
    """A layer's dataset: its record, and the folder of its parts."""

    path: Path
    record: dict

    @staticmethod
    def open(path: str) -> "LayerDataset":
        """Read the record of a layer."""
        return LayerDataset(Path(path), read_json(path))

    @property
    def layer(self) -> str:
        """Name of the layer."""
        return self.record["layer"]

    @property
    def folder(self) -> Path:
        """Folder of the parts."""
        return self.path.with_name(self.path.name.removesuffix(".json"))

    def tables(self, columns: list[str] | None = None) -> Iterator[pa.Table]:
        """Its rows, row group by row group."""
        schema = embeddings_schema(self.record["width"], self.record["dtype"])
        for part in self.record["parts"]:
            file = open_table(self.folder / part["file"], schema, part["sha256"], self.path)
            for group in range(file.num_row_groups):
                yield file.read_row_group(group, columns=columns)


def open_layers(paths: list[str]) -> list[LayerDataset]:
    """Open the datasets of an extraction's layers.

    Raises
    ------
    InputError
        When they are not of the same rows, weights and settings.
    """
    datasets = [LayerDataset.open(path) for path in paths]
    first = datasets[0]
    for other in datasets[1:]:
        for key in (*SHARED, "windows", "dtype", "rows"):
            if other.record[key] != first.record[key]:
                raise InputError(
                    f"{other.path}: {key} differs from that of {first.path} ({other.record[key]} "
                    f"against {first.record[key]}); delete both and rerun to redo them"
                )
    return datasets


def widths_of(datasets: list[LayerDataset]) -> dict[str, int]:
    """Numbers in a vector, by layer."""
    return {dataset.layer: dataset.record["width"] for dataset in datasets}


def read_side_by_side(
    datasets: list[LayerDataset],
) -> Iterator[tuple[pa.Table, dict[str, np.ndarray]]]:
    """Rows of all layers, a few at a time: no more than a row group of each is held.

    Yields
    ------
    keys : Table
    layers : dict of str to ndarray of float32, (n, width of the layer)

    Raises
    ------
    InputError
        When the rows of two layers are not the same.
    """
    sources = [dataset.tables() for dataset in datasets]
    held = [_next(source) for source in sources]
    row = 0
    while rows := min(map(len, held)):
        taken = [table.slice(0, rows) for table in held]
        keys = [table.drop_columns(["embedding"]) for table in taken]
        for other, dataset in zip(keys[1:], datasets[1:], strict=True):
            _check_same(keys[0], other, row, datasets[0].path, dataset.path)
        yield (
            keys[0],
            {
                dataset.layer: _vectors(table, dataset)
                for dataset, table in zip(datasets, taken, strict=True)
            },
        )
        row += rows
        held = [
            table.slice(rows) if len(table) > rows else _next(source)
            for table, source in zip(held, sources, strict=True)
        ]


def read_rows_at(datasets: list[LayerDataset], wanted: np.ndarray) -> dict[str, np.ndarray]:
    """The same rows of all layers, by number, ascending: (n, width of the layer) by layer."""
    read = [read_at(dataset.folder, dataset.record, wanted) for dataset in datasets]
    for (keys, _), dataset in zip(read[1:], datasets[1:], strict=True):
        _check_same(read[0][0], keys, 0, datasets[0].path, dataset.path)
    return {dataset.layer: values for dataset, (_, values) in zip(datasets, read, strict=True)}


def read_keys(dataset: LayerDataset) -> pl.DataFrame:
    """Keys of all rows of a dataset."""
    keys = pl.from_arrow(pa.concat_tables(dataset.tables(list(KEYS))).unify_dictionaries())
    return keys.with_columns(pl.col("genome", "contig").cast(pl.String))


def _next(source: Iterator[pa.Table]) -> pa.Table:
    """The next table that has rows; at the end an empty one."""
    return next((table for table in source if len(table)), pa.table({}))


def _vectors(table: pa.Table, dataset: LayerDataset) -> np.ndarray:
    return vectors_to_numpy(table["embedding"], dataset.record["width"]).astype(np.float32)


def _check_same(first: pa.Table, other: pa.Table, row: int, *paths: Path) -> None:
    for name in KEYS:
        columns = [table[name].cast(first.schema.field(name).type) for table in (first, other)]
        if pa.types.is_dictionary(columns[0].type):
            columns = [column.cast(pa.string()) for column in columns]
        if not columns[0].equals(columns[1]):
            values = (column.to_pylist() for column in columns)
            differ = next(i for i, (a, b) in enumerate(zip(*values, strict=True)) if a != b)
            raise InputError(
                f"{paths[1]}: row {row + differ}: {name} is not that of {paths[0]}; delete both "
                "and rerun to redo them"
            )
