"""How the embeddings look: projections, nearest neighbours, and tracks along each contig."""

from dataclasses import dataclass, field

import numpy as np
import polars as pl

from evo2_embed.analysis.neighbours import nearest
from evo2_embed.analysis.projection import project
from evo2_embed.dataset.dataset import Dataset, to_polars
from evo2_embed.io.text import some_of
from evo2_embed.report.drawn_rows import Column, Labels, choose_rows, encoded_rows, row_columns
from evo2_embed.report.encode import decimals, integers
from evo2_embed.report.explorer import explorer
from evo2_embed.report.gc import add_gc
from evo2_embed.report.html import note, section
from evo2_embed.report.scores import bits_of
from evo2_embed.report.summary import Result
from evo2_embed.settings.analyses import Report

NEIGHBOURS = 10  # of a row, without itself
TITLE = "Embeddings"


@dataclass
class DrawnEmbeddings:
    """What the page draws of all datasets.

    Attributes
    ----------
    tables : list of (DataFrame, dict of str to Column)
        Different sets of rows: keys and columns. Most datasets of a run have the same rows.
    datasets : dict of str to dict
        By title, points and neighbours for the page's script; `table` is an index into `tables`.
    several : bool
        Whether there are several extractions.
    empty : list of str
        Titles of datasets without rows.
    """

    tables: list[tuple[pl.DataFrame, dict[str, Column]]] = field(default_factory=list)
    datasets: dict[str, dict] = field(default_factory=dict)
    several: bool = False
    empty: list[str] = field(default_factory=list)

    def title(self, result: Result, name: str) -> str:
        """Title of a layer or fusion of an extraction."""
        return f"{result.name}: {name}" if self.several else name


def draw_embeddings(
    results: list[Result], chunks: list[str], settings: Report, labels: Labels | None
) -> DrawnEmbeddings:
    """Read and project rows of all layers and fusions.

    Parameters
    ----------
    results : list of Result
    chunks : list of str
        Chunk tables of all bundles, for the GC content of rows.
    settings : Report
    labels : callable, optional
        Gives the label of each row, if there are labels.
    """
    drawn = DrawnEmbeddings(several=len(results) > 1)
    for result in results:
        for name, record in result.datasets.items():
            title = drawn.title(result, name)
            if not record["rows"]:
                drawn.empty.append(title)
                continue
            dataset = Dataset(result.folder / f"{name}.json", record)
            rows = dataset.take(choose_rows(dataset, settings.points))
            keys, vectors = to_polars(rows.select(dataset.key_columns)), dataset.vectors(rows)
            del rows  # holds the vectors once more
            drawn.datasets[title] = {
                "table": _table(drawn, keys, result, dataset, chunks, labels),
                "total": dataset.rows,
                "width": dataset.width,
                "joined": record.get("fusion", {}).get("strands", "keep") != "keep",
                **_points(vectors, settings.umap),
            }
    return drawn


def _table(
    drawn: DrawnEmbeddings,
    keys: pl.DataFrame,
    result: Result,
    dataset: Dataset,
    chunks: list[str],
    labels: Labels | None,
) -> int:
    """The index of the table with these rows, which is made if it is not there."""
    for number, (known, _) in enumerate(drawn.tables):
        if known.equals(keys):
            return number
    numbers = {"GC": (add_gc(keys, chunks)["gc"].to_list(), ".0%")}
    if (bits := bits_of(keys, dataset, result)) is not None:
        numbers["bits per base"] = (bits, ".3f")
    drawn.tables.append((keys, row_columns(keys, labels, result.columns, numbers)))
    return len(drawn.tables) - 1


def _points(vectors: np.ndarray, umap: bool) -> dict:
    found = project(vectors, umap)
    ids, cosines = nearest(vectors, NEIGHBOURS)
    near = {
        "neighbours": integers(ids.reshape(-1)),
        "cosines": decimals(cosines.reshape(-1)),
        "nearest": ids.shape[1],
    }
    if found is None:
        return {"pcs": [], "shares": [], "umap": None, **near}
    return {
        "pcs": list(map(decimals, found.components)),
        "shares": [float(f"{share:.4g}") for share in found.shares],
        "umap": None if found.umap is None else list(map(decimals, found.umap)),
        **near,
    }


def embeddings(
    drawn: DrawnEmbeddings, colours: dict[str, dict[str, str]], first: str | None = None
) -> str:
    """The section; empty without datasets.

    Parameters
    ----------
    drawn : DrawnEmbeddings
    colours : dict of dict
        See `drawn_rows.column_colours`.
    first : str, optional
        Title of the dataset that is shown first.
    """
    if not drawn.datasets and not drawn.empty:
        return ""
    body = note(f"No rows: {some_of(drawn.empty)}.") if drawn.empty else ""
    if drawn.datasets:
        flat = [name for name, each in drawn.datasets.items() if not each["pcs"]]
        if flat:
            body += note(
                f"No projection of {some_of(flat)}: it needs two different rows and two dimensions."
            )
        tables = [encoded_rows(*table) for table in drawn.tables]
        body += explorer(drawn.datasets, tables, colours, first)
    return section(TITLE, body)
