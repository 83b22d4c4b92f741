"""What the variants of an extraction change: likelihood ratios, distances, the largest effects."""

from itertools import cycle

import numpy as np

from evo2_embed.io.text import shown
from evo2_embed.report.colours import PALETTE
from evo2_embed.report.effects import DISTANCE, LLR, Effects
from evo2_embed.report.html import cards, escape, grid, note, plot, section, table
from evo2_embed.report.summary import Result

_BARS = 40  # of the histogram
_SPAN = (5, 25, 50, 75, 95)  # percentiles of a box
_NAME = 48  # most characters of a variant


def variants(result: Result, effects: Effects | None) -> str:
    """The section on the variants of an extraction; empty without a dataset of variants.

    Parameters
    ----------
    result : Result
    effects : Effects, optional
    """
    if effects is None:
        return ""
    numbers = {"variants": f"{sum(effects.counts.values()):,}"}
    numbers |= {kind: f"{number:,}" for kind, number in effects.counts.items()}
    figures = [_ratios(effects.llr)] if effects.llr else []
    figures += [_distances(effects.distances)] if effects.distances else []
    how = "Rows are means of both strands. " if effects.joined else ""
    explained = note(
        f"{effects.drawn:,} of {effects.rows:,} rows in the figures, evenly spaced. {how}"
        "MNV: several bases for as many. llr: log-likelihood of the alternate's window less that "
        "of the reference's; below 0 the model finds the alternate less likely. Distance: "
        "Euclidean, between the embeddings of both alleles over the bases from the variant on."
    )
    return section(
        f"Variants: {result.name}",
        cards(numbers) + _left_out(result) + grid(*figures) + _largest(effects) + explained,
    )


def _left_out(result: Result) -> str:
    """What of the files of variants has no row."""
    told = [f"{number:,} x {reason}" for reason, number in result.skipped.items()]
    return note(f"Left out: {'; '.join(told)}.") if told else ""


def _ratios(llr: dict[str, np.ndarray]) -> str:
    values = np.concatenate(list(llr.values()))
    edges = np.histogram_bin_edges(values, _BARS)
    traces = [
        {
            "type": "bar",
            "x": ((edges[1:] + edges[:-1]) / 2).tolist(),
            "y": np.histogram(mine, edges)[0].tolist(),
            "name": kind,
            "marker": {"color": colour},
            "hovertemplate": "llr %{x:.3g}: %{y:,}",
        }
        for (kind, mine), colour in zip(llr.items(), cycle(PALETTE), strict=False)
    ]
    layout = {
        "height": 340,
        "title": "Likelihood ratio, alternate to reference",
        "xaxis": {"title": {"text": "llr"}},
        "yaxis": {"title": {"text": "rows"}},
        "barmode": "stack",
        "bargap": 0.05,
        "showlegend": True,
    }
    low, middle, high = np.quantile(values, [0.05, 0.5, 0.95])
    alt = (
        f"Histogram of the likelihood ratios of {len(values):,} rows: median {middle:.3g}, "
        f"5 to 95 % from {low:.3g} to {high:.3g}."
    )
    return plot(traces, layout, alt)


def _distances(distances: dict[str, np.ndarray]) -> str:
    # No distance has no place on a logarithmic axis.
    positive = {layer: values[values > 0] for layer, values in distances.items()}
    boxes = {layer: np.percentile(v, _SPAN) for layer, v in positive.items() if len(v)}
    low, first, middle, third, high = (
        [float(box[place]) for box in boxes.values()] for place in range(len(_SPAN))
    )
    box = {
        "type": "box",
        "x": [escape(layer) for layer in boxes],
        "lowerfence": low,
        "q1": first,
        "median": middle,
        "q3": third,
        "upperfence": high,
        "marker": {"color": PALETTE[0]},
        "width": 0.4 if len(boxes) < 4 else None,
    }
    layout = {
        "height": 340,
        "title": "Distance of the alleles: 5, 25, 50, 75, 95 %",
        "xaxis": {"type": "category"},
        "yaxis": {"type": "log", "title": {"text": "distance"}},
    }
    medians = ", ".join(f"{layer} {value:.3g}" for layer, value in zip(boxes, middle, strict=True))
    return plot([box], layout, f"Distances of the two alleles, medians by layer: {medians}.")


def _largest(effects: Effects) -> str:
    heads = {"llr": "llr", DISTANCE: f"distance, {effects.layer}"}
    values = [name for name in (LLR, DISTANCE) if name in effects.largest.columns]
    several = effects.largest["genome"].n_unique() > 1
    rows = [
        (
            shown(row["variant"], _NAME),
            shown(row["id"] or "-", _NAME),
            *([row["genome"]] if several else []),
            row["kind"],
            *([] if effects.joined else [row["strand"]]),
            *(f"{row[name]:.4g}" for name in values),
        )
        for row in effects.largest.iter_rows(named=True)
    ]
    names = ["variant", "ID", *(["genome"] if several else []), "kind"]
    names += [] if effects.joined else ["strand"]
    title = f"<h3>Largest {'llr, positive or negative' if effects.by == LLR else 'distance'}</h3>"
    return title + table((*names, *(heads[name] for name in values)), rows, "largest effects")
