"""Datasets of an extraction's layers, read side by side."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa

from evo2_embed.dataset.dataset import Dataset, to_polars
from evo2_embed.dataset.shards import SHARED
from evo2_embed.dataset.side_by_side import side_by_side
from evo2_embed.io.errors import InputError
from evo2_embed.io.tables import KEYS


def open_layers(paths: list[str], bundle: str | None = None) -> list[Dataset]:
    """Open the datasets of an extraction's layers, or the rows of one bundle in them.

    Raises
    ------
    InputError
        If they differ in rows, weights or settings.
    """
    datasets = [Dataset.open(path) for path in paths]
    first = datasets[0]
    for other in datasets[1:]:
        for key in (*SHARED, "windows", "dtype", "rows"):
            if other.record[key] != first.record[key]:
                raise InputError(
                    f"{other.path}: {key} differs from that of {first.path} ({other.record[key]} "
                    f"against {first.record[key]}); delete both and rerun to redo them"
                )
    return datasets if bundle is None else [dataset.of_bundle(bundle) for dataset in datasets]


def widths_of(datasets: list[Dataset]) -> dict[str, int]:
    """Dimensions of an embedding, by layer."""
    return {dataset.name: dataset.width for dataset in datasets}


def read_side_by_side(
    datasets: list[Dataset],
) -> Iterator[tuple[pa.Table, dict[str, np.ndarray]]]:
    """Rows of all layers, a few at a time. Memory holds one row group of each layer.

    Yields
    ------
    keys : Table
    layers : dict of str to ndarray of float32, (n, width of the layer)

    Raises
    ------
    InputError
        If the rows of two layers differ.
    """
    row = 0
    for taken in side_by_side([dataset.row_groups() for dataset in datasets]):
        keys = [table.drop_columns(["embedding"]) for table in taken]
        first, *others = map(to_polars, keys)
        for other, dataset in zip(others, datasets[1:], strict=True):
            _check_same(first, other, row, datasets[0].path, dataset.path)
        yield (
            keys[0],
            {
                dataset.name: dataset.vectors(table)
                for dataset, table in zip(datasets, taken, strict=True)
            },
        )
        row += len(taken[0])


def read_rows_at(datasets: list[Dataset], wanted: np.ndarray) -> dict[str, np.ndarray]:
    """Embeddings of the same rows of all layers: by layer, float32, (n, width of the layer).

    `wanted` are row indices, ascending.
    """
    read = [dataset.read_at(wanted) for dataset in datasets]
    for (keys, _), dataset in zip(read[1:], datasets[1:], strict=True):
        _check_same(read[0][0], keys, 0, datasets[0].path, dataset.path)
    return {dataset.name: values for dataset, (_, values) in zip(datasets, read, strict=True)}


def _check_same(first: pl.DataFrame, other: pl.DataFrame, row: int, *paths: Path) -> None:
    for name in KEYS:
        differ = np.flatnonzero(first[name].ne_missing(other[name]))
        if len(differ):
            raise InputError(
                f"{paths[1]}: row {row + differ[0]}: {name} is not that of {paths[0]}; delete both "
                "and rerun to redo them"
            )
