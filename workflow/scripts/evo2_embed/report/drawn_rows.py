"""The rows that the page draws, and their columns: what a plot can be coloured by."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import polars as pl

from evo2_embed.dataset.dataset import Dataset
from evo2_embed.dataset.sampling import evenly
from evo2_embed.io.tables import OF_VARIANT
from evo2_embed.io.text import shown
from evo2_embed.report.colours import colours_of
from evo2_embed.report.encode import decimals, integers

FEW = 24  # most names of rows to colour by
LONGEST = 300  # characters of a name in the files that the page writes; longer ones are cut

# Labels of rows, from their keys: see `probes.rows.label_rows`.
Labels = Callable[[pl.DataFrame], np.ndarray]


@dataclass(frozen=True)
class Column:
    """A column of rows: names, or numbers.

    Attributes
    ----------
    values : list of str or None, or of float or None
    format : str, optional
        Of numbers, as in d3; None for names.
    menu : bool
        Whether a plot can be coloured by it.
    """

    values: list
    format: str | None = None
    menu: bool = True

    def counts(self) -> Counter:
        """How often each name occurs; nothing for numbers."""
        return Counter(v for v in self.values if v is not None and self.format is None)


def choose_rows(dataset: Dataset, most: int) -> np.ndarray:
    """Indices of at most `most` rows, evenly spaced, ascending. If the first window has a row per
    strand, windows are chosen, with both strands each."""
    rows = dataset.rows
    if rows <= most or most < 4:
        return evenly(rows, most)
    first, second = dataset.take(np.arange(2)).select(["start", "end", "strand"]).to_pylist()
    if first["strand"] == second["strand"] or (first["start"], first["end"]) != (
        second["start"],
        second["end"],
    ):
        return evenly(rows, most)
    windows = evenly(rows // 2, most // 2)
    return (2 * windows[:, None] + np.arange(2)).reshape(-1)


def row_columns(
    keys: pl.DataFrame,
    labels: Labels | None,
    sheet: dict[str, dict],
    numbers: dict[str, tuple[list, str]],
) -> dict[str, Column]:
    """The columns of rows, by title, in the order of the menu.

    Parameters
    ----------
    keys : DataFrame, n rows
        Keys, with `genome` and `contig` as strings.
    labels : callable, optional
    sheet : dict of dict
        By further column of the sheet, the value of each genome.
    numbers : dict of tuple
        By title, numbers of the rows and their format.
    """
    columns = {}
    if labels is not None and (found := _label_column(labels(keys))) is not None:
        columns["label"] = found
    genomes, contigs = keys["genome"].to_list(), list(map(_name, keys["contig"].to_list()))
    several = len(set(genomes)) > 1
    columns["genome"] = Column(genomes, menu=several)
    columns["contig"] = Column(contigs, menu=len(set(zip(genomes, contigs, strict=True))) > 1)
    if keys["name"].null_count() < len(keys):
        names = [name and _name(name) for name in keys["name"].to_list()]
        columns["name"] = Column(names, menu=len(set(names)) <= FEW)
    for title in OF_VARIANT:
        if title in keys.columns:
            columns[title] = Column(keys[title].to_list(), menu=title == "allele")
    columns["strand"] = Column(keys["strand"].to_list(), menu=keys["strand"].n_unique() > 1)
    for title, (values, form) in numbers.items():
        if any(value is not None for value in values):
            columns[title] = Column(values, form)
    columns["position"] = Column(keys["start"].to_list(), ",.3s")
    for name, values in sheet.items():
        cells = [values[genome] for genome in genomes]
        text = any(isinstance(cell, str) for cell in cells)
        cells = [None if c is None else _name(c) for c in cells] if text else cells
        columns[f"sheet {shown(name)}"] = Column(cells, None if text else ",.4~g")
    return columns


def _label_column(values: np.ndarray) -> Column | None:
    """None if no row has a label."""
    if values.dtype.kind == "f":
        return None if np.isnan(values).all() else Column(values.tolist(), ",.4~g")
    found = [value and _name(value) for value in values.tolist()]
    return Column(found) if any(found) else None


def column_colours(tables: Iterable[dict[str, Column]]) -> dict[str, dict[str, str]]:
    """By title, the colour of each name, the same in all tables of the page."""
    counts: dict[str, Counter] = {}
    for table in tables:
        for title, column in table.items():
            if column.menu and column.format is None:
                counts.setdefault(title, Counter()).update(column.counts())
    return {title: colours_of(counted) for title, counted in counts.items()}


def _name(name: object) -> str:
    return shown(name, LONGEST)


def encoded_rows(keys: pl.DataFrame, columns: dict[str, Column]) -> dict:
    """Rows for the page's script (`rows.js`)."""
    titles = {title: _encoded(column) for title, column in columns.items()}
    if "position" in titles:  # is `start`
        titles["position"] = {"start": True, "format": columns["position"].format}
    # A contig is one of a genome: names of contigs need not be unique, cut ones even less.
    places = list(zip(keys["genome"].to_list(), keys["contig"].to_list(), strict=True))
    named = dict.fromkeys(places)
    return {
        "rows": len(keys),
        "menu": [title for title, column in columns.items() if column.menu],
        "columns": titles,
        "contigs": [(genome, _name(contig)) for genome, contig in named],
        "contig": _indices(places, named),
        "start": integers(keys["start"].to_numpy()),
        "end": integers(keys["end"].to_numpy()),
    }


def _encoded(column: Column) -> dict:
    if column.format is not None:
        return {"numbers": decimals(column.values), "format": column.format}
    names = dict.fromkeys(column.values)
    return {"names": list(names), "index": _indices(column.values, names)}


def _indices(values: list, names: dict) -> dict:
    index = {name: number for number, name in enumerate(names)}
    return integers([index[value] for value in values])
