"""How similar genomes are: a heat map of cosines beside a tree."""

import numpy as np
from scipy.cluster.hierarchy import dendrogram, linkage
from scipy.spatial.distance import pdist, squareform

from evo2_embed.dataset.dataset import Dataset
from evo2_embed.io.text import shown
from evo2_embed.reader.means import means
from evo2_embed.report.html import escape, note, plot
from evo2_embed.report.numbers import between
from evo2_embed.report.summary import Result

FEWEST = 3  # genomes for a tree
MOST = 100  # genomes in the figure
MOST_NAMED = 60  # genomes whose names fit
MOST_BYTES = 2_000_000_000  # of a dataset that is read for means of genomes
_NAME = 30  # characters of a name
_TREE = 0.28  # share of the figure's width


def similarity(result: Result, layer: str) -> str:
    """Heat map and tree of the genomes of an extraction; nothing if there are too few.

    Parameters
    ----------
    result : Result
    layer : str
        The layer, or the fusion, whose vectors are compared.
    """
    entry = result.datasets[layer]
    number = len(result.manifest["genomes"])
    if number < FEWEST:
        return ""
    title = f"<h3>Similarity of genomes in {escape(layer)} of {escape(result.name)}</h3>"
    if entry.get("variants"):
        return title + note("Not compared: the dataset has rows of variants, which have no means.")
    size = sum(part["bytes"] for part in entry["parts"])
    if size > MOST_BYTES and "genome" not in entry.get("levels", {}):
        return title + note("Not compared: the dataset is large. Set levels: [genome].")
    dataset = Dataset(result.folder / f"{layer}.json", {"levels": {}, **entry})
    found = means(dataset, "genome", "mean")
    chosen = np.linspace(0, len(found) - 1, min(len(found), MOST)).round().astype(int)
    vectors = found["embedding"].to_numpy()[chosen].astype(np.float64)
    names = [found["genome"][int(place)] for place in chosen]
    return title + figure(names, vectors) + _explained(len(names), number)


def figure(names: list[str], vectors: np.ndarray) -> str:
    """The tree and the heat map.

    Parameters
    ----------
    names : list of str
    vectors : ndarray of float64, (n, width)
        The mean of each genome.
    """
    centred = vectors - vectors.mean(axis=0)
    usable = np.linalg.norm(centred, axis=1) > 1e-6 * np.linalg.norm(vectors, axis=1)
    if usable.sum() < FEWEST:
        return note("Not compared: fewer than three genomes have vectors that differ.")
    kept = [name for name, use in zip(names, usable, strict=True) if use]
    distances = pdist(centred[usable], "cosine")
    tree = dendrogram(linkage(distances, "average", optimal_ordering=True), no_plot=True)
    order = tree["leaves"]
    cosines = (1 - squareform(distances))[np.ix_(order, order)].round(3)
    labels = [escape(shown(kept[place], _NAME)) for place in order]
    places = list(range(len(order)))
    named = len(order) <= MOST_NAMED
    lines_x = [x for branch in tree["dcoord"] for x in (*branch, None)]
    lines_y = [y for branch in tree["icoord"] for y in (*((y - 5) / 10 for y in branch), None)]
    traces = [
        {
            "x": lines_x,
            "y": lines_y,
            "mode": "lines",
            "line": {"color": "var(--soft)", "width": 1.2},
            "hoverinfo": "skip",
        },
        {
            "type": "heatmap",
            "xaxis": "x2",
            "x": places,
            "y": places,
            "z": cosines.tolist(),
            "text": [[f"{one}, {two}" for two in labels] for one in labels] if named else None,
            "zmin": -1,
            "zmax": 1,
            "colorscale": [[0, "#3b5bb5"], [0.5, "#f3f1ee"], [1, "#b5432b"]],
            "hovertemplate": ("%{text}: " if named else "") + "%{z:.3f}<extra></extra>",
            # Above the heat map: names are at its right.
            "colorbar": {
                "title": {"text": "cosine", "side": "top"},
                "orientation": "h",
                "x": (1 + _TREE) / 2,
                "len": 0.6,
                "y": 1,
                "yanchor": "bottom",
            },
        },
    ]
    layout = {
        "height": 180 + max(200, (16 if named else 6) * len(order)),
        "showlegend": False,
        "xaxis": {
            "domain": [0, _TREE],
            "autorange": "reversed",
            "title": {"text": "1 - cosine"},
            "zeroline": False,
        },
        "xaxis2": {"domain": [_TREE + 0.02, 1], "showticklabels": False, "showgrid": False},
        "yaxis": {
            "range": [len(order) - 0.5, -0.5],
            "showgrid": False,
            "zeroline": False,
            "side": "right",
            "anchor": "x2",
            "tickvals": places if named else [],
            "ticktext": labels if named else [],
        },
        "margin": {"l": 20, "r": 20, "t": 70, "b": 50},
    }
    alike = [1 - distance for distance in distances]
    alt = f"Tree and heat map of {len(order)} genomes: cosines of two genomes {between(alike, 2)}."
    left = len(names) - len(kept)
    equal = f"{left} genome(s) whose vector is the mean of all are left out." if left else ""
    return plot(traces, layout, alt) + (note(equal) if equal else "")


def _explained(shown_ones: int, number: int) -> str:
    limited = f"{shown_ones} of {number:,} genomes, evenly spaced. " if shown_ones < number else ""
    few = "With few genomes, most cosines are below 0. " if number < 10 else ""
    return note(
        f"{limited}Each genome is the mean of its rows, on both strands. The mean of the genomes "
        f"shown is subtracted first, so that cosines say how genomes differ from it. {few}Tree: "
        "average linkage of 1 - cosine. It shows which embeddings are alike; it is not a phylogeny."
    )
