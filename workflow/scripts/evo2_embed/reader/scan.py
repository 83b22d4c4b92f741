"""Part files as a LazyFrame of polars."""

import polars as pl

from evo2_embed.dataset.dataset import Dataset
from evo2_embed.io.later import LATER
from evo2_embed.reader.groups import ROW


def scan_parts(dataset: Dataset) -> pl.LazyFrame:
    """The rows of a dataset, with their numbers in the column `row`.

    Part files that were made before some columns came have them, too (`io.later`).
    """
    paths = [dataset.folder / part["file"] for part in dataset.record["parts"]]
    columns = pl.from_arrow(dataset.schema.empty_table()).schema
    rows = pl.scan_parquet(
        paths, schema=columns, missing_columns="insert", row_index_name=ROW
    ).with_columns(pl.col(ROW).cast(pl.Int64))
    filled = {
        name: pl.col(name).fill_null(value)
        for name, value in LATER.items()
        if value is not None and name in columns
    }
    return rows.with_columns(**filled)
