"""The columns of an export: the keys of a dataset, and the further columns of the sheet."""

import re
from collections.abc import Iterable

import polars as pl

from evo2_embed.dataset.dataset import Dataset
from evo2_embed.dataset.genomes import further_columns


def described(dataset: Dataset, keys: pl.DataFrame, genomes: str) -> pl.DataFrame:
    """Keys of rows, with the further columns of the sheet behind them, by the row's genome.

    Parameters
    ----------
    dataset : Dataset
    keys : DataFrame
        Its keys, or those of some rows; `genome` and `contig` as strings.
    genomes : str
        The table of genomes of the run.
    """
    further = further_columns(genomes)
    if not further:
        return keys
    values = pl.DataFrame(list(further.values()), infer_schema_length=None)
    values = values.rename(column_names(values.columns, dataset.schema.names))
    values = values.insert_column(0, pl.Series("genome", list(further)))
    return keys.join(values, on="genome", how="left", maintain_order="left")


def column_names(columns: Iterable[str], taken: Iterable[str]) -> dict[str, str]:
    """Names of the columns of the sheet that every format can have.

    Characters that are no letter, digit, blank, `_` or `-` become `_`: HDF5 takes `/`, and Lance
    `.`, for a level. A name that is taken, or begins with `_`, gets `genome_` before it.

    >>> column_names(["host", "a/b", "a.b", "name", "_index"], ["genome", "name"]).values()
    dict_values(['host', 'a_b', 'genome_a_b', 'genome_name', 'genome__index'])
    """
    found, taken = {}, {name.lower() for name in taken}
    for column in columns:
        name = re.sub(r"[^\w -]", "_", column)
        name = f"genome_{name}" if name.lower() in taken or name.startswith("_") else name
        while name.lower() in taken:
            name += "_"
        taken.add(name.lower())
        found[column] = name
    return found
