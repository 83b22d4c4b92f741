"""Burn-in: how embeddings change with the context before them, and what to do about it."""

from html import escape

import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from evo2_embed.report.html import PALETTE, grid, note, plot, says, section, table

SHOWN = (64, 256, 1024)  # bases before a row, in the table
COSINES = (-1, 0, 0.5, 0.9, 0.99, 0.999, 0.9999)  # on the axis
LEAST = 1e-4  # to 1, that is drawn


def burn_in(name: str, measured: dict | None) -> str:
    """The section on the burn-in of an extraction.

    Parameters
    ----------
    name : str
    measured : dict, optional
        What `burn_in.measure.measure_burn_in` wrote.
    """
    if measured is None:
        return ""
    title = f"Burn-in: {name}"
    if measured["reason"] is not None:
        return section(title, note(f"Not measured: {measured['reason']}."))
    figures = grid(
        _curves(measured, 1, "Median"),
        _curves(measured, 0, "5th percentile: the rows that change most"),
    )
    body = says(recommendation(measured)) + figures + _measures(measured) + _remarks(measured)
    return section(title, body)


def recommendation(measured: dict) -> str:
    """What a user should do, in two sentences or three."""
    settled = {layer: found["settled"] for layer, found in measured["layers"].items()}
    never = [layer for layer, bases in settled.items() if bases is None]
    most = max((bases for bases in settled.values() if bases is not None), default=None)
    stretch = measured["place"]["stretch"]
    text = ""
    if never:
        text = (
            f"Embeddings of {_names(never)} still change with context after {stretch:,} bases, the "
            "most that were measured here: give windows all the context that there is room for "
            "(windows.context.span), and measure further (burn_in.length). "
        )
    if most is None:
        return text.strip()
    slowest = [layer for layer, bases in settled.items() if bases == most]
    which = "the others" if never else "all layers" if len(settled) > 1 else slowest[0]
    last = f" ({_names(slowest)} last)" if len(settled) > 1 and most else ""
    if not most:
        return f"{text}Embeddings of {which} are settled from the first base on."
    return (
        f"{text}Embeddings of {which} are settled after {most:,} bases{last}. Run at least so many "
        f"before each window (windows.context.min: {most}, and a span). If you prefer independent "
        f"windows: longer ones with bins, that overlap by {most:,} bases; leave out the bins with "
        f"fewer before them in their window (column context), but for those at a contig's start."
    )


def _names(layers: list[str]) -> str:
    more = f" and {len(layers) - 3} more" if len(layers) > 3 else ""
    return ", ".join(layers[:3]) + more


def _curves(measured: dict, quantile: int, title: str) -> str:
    """One line a layer: a quantile of the centred cosines, by distance."""
    edges, layers = measured["edges"], measured["layers"]
    # On a logarithmic axis a group stands in its middle; the first has no such.
    x = [edges[1] / 2] + [(a * b) ** 0.5 for a, b in zip(edges[1:], edges[2:], strict=False)]
    bounds = [f"{a:,} to {b - 1:,}" for a, b in zip(edges, edges[1:], strict=False)]
    figure = go.Figure()
    for (layer, found), colour in zip(layers.items(), _colours(len(layers)), strict=True):
        cosines = [quantiles[quantile] for quantiles in found["centred"]["cosine"]]
        figure.add_scatter(
            x=x,
            y=[max(1 - cosine, LEAST) for cosine in cosines],
            mode="lines+markers",
            name=escape(layer),
            line={"color": colour, "width": 1.6},
            marker={"size": 4},
            customdata=list(zip(bounds, cosines, strict=True)),
            hovertemplate="%{customdata[0]} bases before: %{customdata[1]:.4f}",
        )
    line = {"dash": "dot", "width": 1, "color": "#667370"}
    figure.add_hline(y=1 - measured["settled_at"][quantile], line=line)
    figure.update_layout(
        title=title,
        legend={"orientation": "h", "y": -0.25, "font": {"size": 11}},
        showlegend=len(layers) <= len(PALETTE),
    )
    ticks = [2**power for power in range(4, int(edges[-1]).bit_length())]
    figure.update_xaxes(
        type="log", title="bases before", tickvals=ticks, ticktext=[f"{tick:,}" for tick in ticks]
    )
    # What is left to 1, so that 0.99 and 0.999 are as far apart as 0.9 and 0.99.
    figure.update_yaxes(
        type="log",
        title="cosine to the longest context",
        autorange="reversed",
        tickvals=[1 - cosine for cosine in COSINES],
        ticktext=[str(cosine) for cosine in COSINES],
    )
    return plot(figure, 400)


def _colours(number: int) -> list[str]:
    """Colours of layers: told apart if they are few, else by depth."""
    if number <= len(PALETTE):
        return list(PALETTE[:number])
    return sample_colorscale("Viridis", [0.95 * i / (number - 1) for i in range(number)])


def _measures(measured: dict) -> str:
    edges = measured["edges"]
    places = [sum(edge <= bases for edge in edges) - 1 for bases in SHOWN if bases < edges[-1]]
    rows = []
    for layer, found in measured["layers"].items():
        settled, raw = found["settled"], found["raw"]
        low = found["centred"]["cosine"][-1 if settled is None else edges.index(settled)][0]
        rows.append(
            (
                layer,
                *(f"{found['centred']['cosine'][place][1]:.3f}" for place in places),
                f"not within {edges[-1]:,}" if settled is None else f"{settled:,}",
                f"{low:.3f}",
                f"{raw['cosine'][0][1]:.4f} / {raw['apart'][1]:.4f}",
            )
        )
    heads = (
        "layer",
        *(f"after {bases:,}" for bases in SHOWN[: len(places)]),
        "settled after (bases)",
        "5th percentile there",
        "not centred: same / other place",
    )
    return table(heads, rows)


def _remarks(measured: dict) -> str:
    place, (low, middle) = measured["place"], measured["settled_at"]
    apart = [found["centred"]["apart"][1] for found in measured["layers"].values()]
    coloured = "Colours go from the first layer to the last. " if len(apart) > len(PALETTE) else ""
    return note(
        f"{coloured}Stretches of {place['stretch']:,} bases that begin at {place['starts']} places "
        f"of {place['genome']}, {place['contig']}, strand {place['strand']}, with nothing before "
        f"them, against one of {place['end'] - place['start']:,} ({place['start']:,} to "
        f"{place['end']:,}), which reaches back at least {2 * place['stretch']:,} further. An "
        f"embedding is of {place['row']} bases, pooled as in the datasets. Cosines are centred: of "
        "embeddings less the mean one of the longest context, which alone makes those of different "
        "places look alike (last column: the same bases with nothing before them, and other "
        "places, medians). Centred, other places have medians of "
        f"{min(apart):.2f} to {max(apart):.2f}. Settled: from there on the median is at least "
        f"{middle:g} and the 5th percentile at least {low:g}."
    )
