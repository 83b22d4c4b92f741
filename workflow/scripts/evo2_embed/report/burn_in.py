"""Burn-in: how embeddings change with upstream context, and which context to use."""

from evo2_embed.io.text import shown
from evo2_embed.report.colours import PALETTE, by_depth
from evo2_embed.report.html import escape, grid, note, plot, says, section, table
from evo2_embed.report.numbers import between

TITLE = "How much context"
SHOWN = (64, 256, 1024)  # upstream context of a row, in the table
COSINES = (-1, 0, 0.5, 0.9, 0.99, 0.999, 0.9999)  # ticks of the axis
LEAST = 1e-4  # smallest 1 - cosine that is drawn


def burn_in(name: str, measured: dict | None) -> str:
    """The section on the burn-in of an extraction.

    Parameters
    ----------
    name : str
    measured : dict, optional
        Written by `burn_in.measure.measure_burn_in`.
    """
    if measured is None:
        return ""
    title = f"{TITLE}: {name}"
    if measured["reason"] is not None:
        return section(title, note(f"Not measured: {measured['reason']}."))
    figures = grid(
        _curves(measured, 1, "Median"),
        _curves(measured, 0, "5th percentile: the rows that change most"),
    )
    body = says(recommendation(measured)) + figures + _measures(measured) + _remarks(measured)
    return section(title, body)


def recommendation(measured: dict) -> str:
    """The recommendation for the user, in two or three sentences."""
    settled = {layer: found["settled"] for layer, found in measured["layers"].items()}
    never = [layer for layer, bases in settled.items() if bases is None]
    most = max((bases for bases in settled.values() if bases is not None), default=None)
    stretch = measured["place"]["stretch"]
    text = ""
    if never:
        text = (
            f"Embeddings of {_names(never)} still change after {stretch:,} bases of context, the "
            "longest distance that was measured: use the longest context that fits "
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
        f"{text}Embeddings of {which} are settled after {most:,} bases{last}. Set "
        f"windows.context.min: {most}, with a span. Or leave the first bases of a sequence out: "
        f"skip_first: {most}. Or use longer independent windows with bins "
        f"that overlap by {most:,} bases, and drop bins with less context in their window (column "
        f"context), except at the start of a contig."
    )


def settled(measured: dict) -> str:
    """After how much context the embeddings are settled, in a sentence."""
    return recommendation(measured).split(". ")[0].rstrip(".") + "."


def _names(layers: list[str]) -> str:
    more = f" and {len(layers) - 3} more" if len(layers) > 3 else ""
    return ", ".join(layers[:3]) + more


def _curves(measured: dict, quantile: int, title: str) -> str:
    """One line per layer: a quantile of the centred cosines, by distance."""
    edges, layers = measured["edges"], measured["layers"]
    # On a logarithmic axis a group is drawn at its middle; the first group starts at 0.
    x = [edges[1] / 2] + [(a * b) ** 0.5 for a, b in zip(edges[1:], edges[2:], strict=False)]
    bounds = [f"{a:,} to {b - 1:,}" for a, b in zip(edges, edges[1:], strict=False)]
    traces = []
    for (layer, found), colour in zip(layers.items(), by_depth(len(layers)), strict=True):
        cosines = [quantiles[quantile] for quantiles in found["centred"]["cosine"]]
        traces.append(
            {
                "x": x,
                "y": [max(1 - cosine, LEAST) for cosine in cosines],
                "mode": "lines+markers",
                "name": escape(layer),
                "line": {"color": colour, "width": 1.6},
                "marker": {"size": 4},
                "customdata": list(zip(bounds, cosines, strict=True)),
                "hovertemplate": "%{customdata[0]} bases of context: %{customdata[1]:.4f}",
            }
        )
    ticks = [2**power for power in range(4, int(edges[-1]).bit_length())]
    settled = measured["settled_at"][quantile]
    line = {"dash": "dot", "width": 1, "color": "var(--soft)"}
    layout = {
        "height": 400,
        "title": title,
        "showlegend": len(layers) <= len(PALETTE),
        "shapes": [
            {"type": "line", "xref": "paper", "x0": 0, "x1": 1, "y0": 1 - settled}
            | {"y1": 1 - settled, "line": line}
        ],
        "xaxis": {
            "type": "log",
            "title": {"text": "upstream context (bases)"},
            "tickvals": ticks,
            "ticktext": [f"{tick:,}" for tick in ticks],
        },
        # 1 - cosine, so that 0.99 and 0.999 are as far apart as 0.9 and 0.99.
        "yaxis": {
            "type": "log",
            "title": {"text": "cosine to the longest context"},
            "autorange": "reversed",
            "tickvals": [1 - cosine for cosine in COSINES],
            "ticktext": [str(cosine) for cosine in COSINES],
        },
    }
    last = [found["centred"]["cosine"][-1][quantile] for found in layers.values()]
    alt = (
        f"{title} of the cosine to the longest context, by upstream context, for {len(layers)} "
        f"layer(s). After {edges[-2]:,} bases it is {min(last):.3f} to {max(last):.3f}; the dotted "
        f"line is at {settled:g}."
    )
    return plot(traces, layout, alt)


def _measures(measured: dict) -> str:
    edges = measured["edges"]
    groups = [sum(edge <= bases for edge in edges) - 1 for bases in SHOWN if bases < edges[-1]]
    rows = []
    for layer, found in measured["layers"].items():
        settled, raw = found["settled"], found["raw"]
        low = found["centred"]["cosine"][-1 if settled is None else edges.index(settled)][0]
        rows.append(
            (
                layer,
                *(f"{found['centred']['cosine'][group][1]:.3f}" for group in groups),
                f"not within {edges[-1]:,}" if settled is None else f"{settled:,}",
                f"{low:.3f}",
                f"{raw['cosine'][0][1]:.4f} / {raw['apart'][1]:.4f}",
            )
        )
    heads = (
        "layer",
        *(f"after {bases:,}" for bases in SHOWN[: len(groups)]),
        "settled after (bases)",
        "5th percentile there",
        "not centred: same / other position",
    )
    return table(heads, rows, "burn-in of the layers")


def _remarks(measured: dict) -> str:
    place, (low, middle) = measured["place"], measured["settled_at"]
    apart = [found["centred"]["apart"][1] for found in measured["layers"].values()]
    coloured = "Colours go from the first layer to the last. " if len(apart) > len(PALETTE) else ""
    return note(
        f"{coloured}Compared: {place['starts']} stretches of {place['stretch']:,} bases without "
        f"upstream context, with one long stretch of {place['end'] - place['start']:,} bases that "
        f"holds them all. The long stretch is {shown(place['contig'])} of {place['genome']}, "
        f"strand {place['strand']}, {place['start']:,} to {place['end']:,}. It starts at least "
        f"{2 * place['stretch']:,} bases upstream of each short stretch. One embedding per "
        f"{place['row']} bases, pooled as in the datasets."
    ) + note(
        "Centred: the mean embedding of the long stretch is subtracted first. Otherwise all "
        "embeddings look similar; the last column shows this, as medians for the same bases "
        "without context, and for other positions. Centred, other positions have median cosines of "
        f"{between(apart, 2)}. Settled: from this context on, the median is at "
        f"least {middle:g} and the 5th percentile at least {low:g}."
    )
