"""Which layer: the comparison without labels, and the probes."""

import polars as pl

from evo2_embed.report.colours import PALETTE
from evo2_embed.report.depth import by_order
from evo2_embed.report.html import Raw, escape, grid, note, plot, section, table
from evo2_embed.report.numbers import between
from evo2_embed.report.probes import probes

TITLE = "Which layer"
MOST_NUMBERED = 8  # most layers for which the heat map shows numbers


def layers(
    name: str, model: str, compared: dict | None, probed: tuple[dict, pl.DataFrame] | None
) -> str:
    """The section on one extraction's layers, which are in the order of the forward pass.

    Parameters
    ----------
    name : str
    model : str
    compared : dict, optional
        Written by `compare.layers.compare_layers`.
    probed : (dict, DataFrame), optional
        Record and table written by `probes.extraction.probe_extraction`.
    """
    body = ""
    if probed is not None:
        body += f"<h3>By labels</h3>{probes(*probed, model)}"
    if compared is not None:
        body += f"<h3>Without labels</h3>{_without_labels(compared, model)}"
    return section(f"{TITLE}: {name}", body) if body else ""


def _without_labels(compared: dict, model: str) -> str:
    described = {name: compared["layers"][name] for name in by_order(compared["layers"], model)}
    shuffled = compared["shuffled_windows"]
    remarks = note(
        f"{compared['rows']:,} rows of each layer"
        + (f", and {shuffled:,} windows with shuffled bases. " if shuffled else ". ")
        + "Effective rank: number of directions that the rows use. Variance: share of the first "
        "principal components. Cosine: all pairs of rows, mean and 5 to 95 %. Similarity of "
        "layers: linear CKA, unbiased; 1 means equal up to rotation and scale. Its colours "
        "begin at the smallest value."
    )
    if any(measures["alike"] for measures in described.values()):
        remarks += note(
            "alike: the mean cosine is 0.95 or more, even to shuffled sequence. Information can be "
            "in small differences: subtract the mean, or standardise, before comparing cosines."
        )
    figures = ""
    if len(described) > 1:  # the table shows one layer better
        similar = _similarity(compared["cka"], list(described))
        figures = grid(_ranks(described), _cosines(described), similar)
    return figures + _measures(described) + remarks


def _measures(described: dict) -> str:
    rows = [
        (
            layer,
            f"{m['width']:,}",
            _text(m["effective_rank"], ".1f"),
            " / ".join(_text(share, ".0%") for share in m["variance"].values()),
            _text(m["cosine"], ".3f") + _span(m["cosine_quantiles"]),
            _text(m["cosine_to_shuffled"], ".3f"),
            Raw("<span class=mark>alike</span>") if m["alike"] else "",
        )
        for layer, m in described.items()
    ]
    heads = (
        "layer",
        "dimensions",
        "effective rank",
        "variance in 1 / 3 / 10",
        "cosine of pairs",
        "cosine to shuffled",
        "remark",
    )
    return table(heads, rows, "layers compared without labels")


def _ranks(described: dict) -> str:
    ranks = [measures["effective_rank"] for measures in described.values()]
    bars = {"type": "bar", "x": _names(described), "y": ranks, "marker": {"color": PALETTE[0]}}
    layout = {
        "height": 320,
        "title": "Effective rank",
        "yaxis": {"title": {"text": "directions"}},
        "bargap": 0.4,
    }
    return plot([bars], layout, _range("Effective rank", ranks, 1))


def _cosines(described: dict) -> str:
    known = {layer: m for layer, m in described.items() if m["cosine"] is not None}
    low, middle, high = (
        zip(*(m["cosine_quantiles"] for m in known.values()), strict=True)
        if known
        else ((), (), ())
    )
    traces = [
        {
            "x": _names(known),
            "y": middle,
            "mode": "markers",
            "name": "pairs of rows, median and 5 to 95 %",
            "marker": {"color": PALETTE[0], "size": 9},
            "error_y": {
                "array": [h - m for h, m in zip(high, middle, strict=True)],
                "arrayminus": [m - l_ for m, l_ in zip(middle, low, strict=True)],
                "color": PALETTE[0],
            },
        }
    ]
    if any(m["cosine_to_shuffled"] is not None for m in described.values()):
        traces.append(
            {
                "x": _names(described),
                "y": [m["cosine_to_shuffled"] for m in described.values()],
                "mode": "markers",
                "name": "to shuffled windows, mean",
                "marker": {"color": PALETTE[1], "size": 9, "symbol": "x"},
            }
        )
    layout = {"height": 340, "title": "Cosines", "yaxis": {"title": {"text": "cosine"}}}
    return plot(traces, layout, _range("Median cosine of pairs of rows", list(middle), 3))


def _similarity(cka: dict, names: list[str]) -> str:
    values = [[cka[one][two] for two in names] for one in names]
    numbered = len(names) <= MOST_NUMBERED
    labels = [escape(name) for name in names]
    heatmap = {
        "type": "heatmap",
        "x": labels,
        "y": labels,
        "z": values,
        "zmin": min(min(row) for row in values),
        "zmax": 1,
        "colorscale": "Viridis",
        "texttemplate": "%{z:.2f}" if numbered else None,
        "hovertemplate": "%{y}, %{x}: %{z:.3f}<extra></extra>",
    }
    layout = {
        "height": 340 if numbered else 460,
        "title": "Similarity of layers (CKA)",
        "xaxis": {"type": "category"},
        "yaxis": {"type": "category", "autorange": "reversed"},
    }
    apart = [cka[one][two] for one in names for two in names if one != two]
    return plot([heatmap], layout, _range("Similarity of two layers (CKA)", apart, 2))


def _range(what: str, values: list[float | None], digits: int) -> str:
    """The smallest and the largest value, as the text of a figure."""
    known = [value for value in values if value is not None]
    if not known:
        return f"{what}: not known for any layer."
    return f"{what}: {between(known, digits)}."


def _names(described: dict) -> list[str]:
    return [escape(layer) for layer in described]


def _text(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _span(quantiles: list[float] | None) -> str:
    if quantiles is None:
        return ""
    return f" ({quantiles[0]:.3f} to {quantiles[-1]:.3f})"
