"""Datasets for AnnData and pandas."""

from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from evo2_embed.dataset.dataset import Dataset
from evo2_embed.io.errors import InputError

if TYPE_CHECKING:
    import anndata
    import pandas

# Of the record, for `uns`.
_ORIGIN = ("model", "precision", "pooling", "engine", "digest", "workflow")


def needed(name: str, method: str) -> ModuleType:
    """A package that only one method needs.

    Raises
    ------
    InputError
        If it is not installed.
    """
    try:
        return __import__(name)
    except ModuleNotFoundError as error:
        if error.name != name:
            raise
        raise InputError(
            f"{method}() needs {name}, which is not installed: pip install {name}"
        ) from None


def to_anndata(
    dataset: Dataset, keys: pl.DataFrame, values: np.ndarray | None
) -> "anndata.AnnData":
    """Rows as AnnData, see `Embeddings.anndata`; without values, `X` is left out."""
    anndata = needed("anndata", "anndata")
    names = [f"{dataset.vector_column}_{number}" for number in range(dataset.width)]
    pandas = needed("pandas", "anndata")
    var = pandas.DataFrame(index=pandas.Index(names, dtype=object))
    uns = {key: str(dataset.record[key]) for key in _ORIGIN if key in dataset.record}
    adata = anndata.AnnData(X=values, obs=observations(keys), var=var)
    adata.uns["evo2_embed"] = {"dataset": dataset.name, **uns}
    return adata


def to_pandas(dataset: Dataset, keys: pl.DataFrame, values: np.ndarray | None):
    """Rows as a pandas DataFrame, see `Embeddings.pandas`."""
    pandas = needed("pandas", "pandas")
    columns = {name: _column(keys[name]) for name in keys.columns}
    if values is not None:
        columns[dataset.vector_column] = pandas.Series(list(values), dtype=object)
    return pandas.DataFrame(columns)


def _column(column: pl.Series) -> object:
    """A column as numpy has it; texts as objects, None where there is none."""
    if column.dtype == pl.String:
        return np.array(column.to_list(), object)
    return column.to_numpy()


def observations(keys: pl.DataFrame) -> "pandas.DataFrame":
    """Keys with a unique text per row as the index; texts are categories, and none is null."""
    import pandas

    columns = {}
    for column in keys:
        if column.dtype == pl.String:
            labels = column.fill_null("")
            found = labels.unique(maintain_order=True)
            codes = labels.replace_strict(found, np.arange(len(found)), return_dtype=pl.Int64)
            categories = pandas.Index(found.to_list(), dtype=object)
            columns[column.name] = pandas.Categorical.from_codes(codes.to_numpy(), categories)
        else:
            columns[column.name] = column.to_numpy()
    index = pandas.Index(row_names(keys).to_list(), dtype=object)
    return pandas.DataFrame(columns, index=index)


def row_names(keys: pl.DataFrame) -> pl.Series:
    """A text per row that no other row has: where it is, and the number of the row if that is not
    unique. Keys have the column `row`."""
    if "start" in keys.columns:
        place = pl.format("{}:{}:{}-{}({})", "genome", "contig", "start", "end", "strand")
    else:
        place = pl.format("{}:{}({})", "genome", "variant", "strand")
    named = keys.select("row", place=place)
    twice = named["place"].is_duplicated()
    numbered = pl.format("{}#{}", "place", "row")
    return named.select(pl.when(twice).then(numbered).otherwise("place")).to_series()
