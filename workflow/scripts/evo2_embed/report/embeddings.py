"""How the embeddings look: projections, and components along each contig."""

from collections import Counter
from collections.abc import Callable

import numpy as np
import polars as pl

from evo2_embed.analysis.projection import project
from evo2_embed.dataset.dataset import Dataset
from evo2_embed.dataset.sampling import evenly
from evo2_embed.io.text import shown
from evo2_embed.report.gc import add_gc
from evo2_embed.report.html import choice, data, note, section
from evo2_embed.report.summary import Result
from evo2_embed.settings.analyses import Report

MOST_CONTIGS = 40  # in the menu

# Labels of rows, from their keys: see `probes.rows.label_rows`.
Labels = Callable[[pl.DataFrame], np.ndarray]


def embeddings(result: Result, chunks: list[str], settings: Report, labels: Labels | None) -> str:
    """The section of one extraction.

    Parameters
    ----------
    result : Result
    chunks : list of str
        Chunk tables of all bundles, for the GC share of rows.
    settings : Report
    labels : callable, optional
        Gives the label of each row, if there are labels.
    """
    keys, datasets, empty = [], {}, []
    for name, dataset in result.datasets.items():
        if not dataset["rows"]:
            empty.append(name)
            continue
        opened = Dataset(result.folder / f"{name}.json", dataset)
        rows, vectors = opened.read_at(evenly(opened.rows, settings.points))
        described = _keys(add_gc(rows, chunks), labels, result.columns)
        if described not in keys:
            keys.append(described)
        datasets[name] = {
            "keys": keys.index(described),
            "note": f"{len(vectors):,} of {dataset['rows']:,} rows, evenly spaced; "
            f"{dataset['width']:,} dimensions.",
            **_points(vectors, settings.umap),
        }
    if not result.datasets:
        return ""
    body = note(f"No rows: {', '.join(empty)}.") if empty else ""
    if datasets:
        body += _figures(datasets, keys)
    return section(f"Embeddings: {result.name}", body)


def _figures(datasets: dict, keys: list[dict]) -> str:
    colours = ["GC", "contig", "position", "strand"]
    if any(entry["label"] for entry in keys):
        colours.insert(0, "label")
    chosen = choice("dataset", {name: name for name in datasets})
    further = {f"sheet {name}": name for name in keys[0]["columns"]}
    chosen += choice("colour", {**{name: name for name in colours}, **further})
    without = [name for name, dataset in datasets.items() if not dataset["pcs"]]
    missing = note(
        f"No projection of {', '.join(without)}: it needs two different rows and two dimensions."
    )
    return (
        f"<div data-embeddings><div class=choices>{chosen}</div>"
        "<p class='note says-rows'></p>"
        "<div class=grid><div class='plot pca'></div><div class='plot umap'></div></div>"
        f"<div class=choices>{choice('contig', contig_menu(keys[0]))}</div>"
        f"<div class='plot track'></div>{missing if without else ''}"
        f"{data({'datasets': datasets, 'keys': keys})}</div>"
    )


def _keys(keys: pl.DataFrame, labels: Labels | None, columns: dict[str, dict]) -> dict:
    """Coordinates, GC content, labels and columns of the sheet of rows for the page's script."""
    found = None
    if labels is not None:
        values = labels(keys)
        numeric = values.dtype.kind == "f"
        found = [None if value is None or value != value else value for value in values.tolist()]
        found = rounded(found) if numeric else [value and shown(value) for value in found]
        found = found if any(value is not None for value in found) else None
    named = coordinates(keys)
    # Of each genome, not of each row.
    further = {
        shown(name): [_cell(values[genome]) for genome in named["genomes"]]
        for name, values in columns.items()
    }
    return {**named, "gc": rounded(keys["gc"].to_list()), "label": found, "columns": further}


def _cell(value: str | float | None) -> str | float | None:
    return shown(value) if isinstance(value, str) else value


def coordinates(keys: pl.DataFrame) -> dict:
    """Coordinates of rows for the page's script; names are indices into lists."""
    genomes, contigs = (list(dict.fromkeys(keys[name])) for name in ("genome", "contig"))
    return {
        "genomes": genomes,
        "contigs": list(map(shown, contigs)),
        "genome": [genomes.index(name) for name in keys["genome"]],
        "contig": _numbers(keys["contig"].to_list(), contigs),
        "start": keys["start"].to_list(),
        "end": keys["end"].to_list(),
        "strand": keys["strand"].to_list(),
    }


def _numbers(names: list[str], of: list[str]) -> list[int]:
    index = {name: number for number, name in enumerate(of)}
    return [index[name] for name in names]


def _points(vectors: np.ndarray, umap: bool) -> dict:
    found = project(vectors, umap)
    if found is None:
        return {"pcs": None, "shares": [], "umap": None}
    return {
        "pcs": [rounded(row.tolist()) for row in found.components],
        "shares": rounded(found.shares),
        "umap": None if found.umap is None else [rounded(row.tolist()) for row in found.umap],
    }


def contig_menu(first: dict) -> dict[str, str]:
    """The contigs with most rows, for the menu: names by `genome contig` as numbers.

    Parameters
    ----------
    first : dict
        `coordinates` of the rows.
    """
    counts = Counter(zip(first["genome"], first["contig"], strict=True))
    several = len(first["genomes"]) > 1
    return {
        f"{genome} {contig}": f"{first['genomes'][genome]}: {first['contigs'][contig]}"
        if several
        else first["contigs"][contig]
        for (genome, contig), _ in counts.most_common(MOST_CONTIGS)
    }


def rounded(values: list[float | None]) -> list[float | None]:
    """Values with four digits, more than a screen shows."""
    return [None if value is None else float(f"{value:.4g}") for value in values]
