"""Which layer predicts the labels best."""

import polars as pl

from evo2_embed.analysis.probes.labels import GC_KMERS, SHUFFLED
from evo2_embed.io.text import shown
from evo2_embed.report.colours import PALETTE
from evo2_embed.report.depth import by_order
from evo2_embed.report.html import escape, note, plot, says, table

NAMES = {
    GC_KMERS: "GC and k-mer counts",
    SHUFFLED: "shuffled labels",
    "roc_auc": "area under the ROC curve",
    "balanced_accuracy": "balanced accuracy",
    "accuracy": "accuracy",
    "r2": "R²",
    "spearman": "Spearman's correlation",
}
BASELINES = (GC_KMERS, SHUFFLED)
MOST_NAMED = 4  # layers named in a sentence


def probes(record: dict, values: pl.DataFrame, model: str) -> str:
    """The results of an extraction's probes, as written by `probes.extraction`.

    Parameters
    ----------
    record : dict
    values : DataFrame
        layer, metric, fold, value.
    model : str
        Its layers are in the order of its forward pass.
    """
    scores = record["scores"]
    names = [*by_order((name for name in scores if name not in BASELINES), model), *BASELINES]
    record = {**record, "scores": {name: scores[name] for name in names}}
    labels = ", ".join(
        f"{shown(label)} {count:,}" for label, count in (record["labels"] or {}).items()
    )
    explained = note(
        f"{record['rows']['used']:,} of {record['rows']['labelled']:,} labelled rows"
        + (f" ({labels})" if labels else "")
        + f", in {len(record['folds'])} folds of whole {record['group']}s ({record['groups']:,}); "
        f"rows within {record['gap']:,} bp of a tested row are not trained on. Linear probe on "
        "standardised embeddings; mean over folds with 95 % interval, corrected because folds "
        f"share training rows. Shuffled labels: probe on {record['shuffled_layer']}."
    )
    skipped = "".join(note(f"{name}: {why}") for name, why in record["skipped"].items())
    return says(verdict(record)) + _figure(record) + _table(record, values) + explained + skipped


def verdict(record: dict) -> str:
    """Which layer is best, in one sentence, and whether it is better than k-mer counts."""
    best, others = record["best"], record["undecided"]
    if record["scores"][best]["mean"] <= chance(record)[0]:
        return f"{best} has the best mean, but no layer predicts the labels better than a guess."
    if len(record["scores"]) == 1 + len(BASELINES):
        first = f"{best} is the only layer."
    elif record["winner"]:
        first = f"{best} is significantly better than all other layers."
    else:
        named = ", ".join(others[:MOST_NAMED])
        more = f" and {len(others) - MOST_NAMED} more" if len(others) > MOST_NAMED else ""
        first = f"{best} has the best mean, but is not significantly better than {named}{more}."
    if record["beats_gc_kmers"]:
        return f"{first} It is significantly better than GC and k-mer counts."
    return f"{first} It is not significantly better than GC and k-mer counts."


def chance(record: dict) -> tuple[float, str]:
    """The value of the metric for a guess that knows only how frequent labels are, and its name.

    A guess of the mean has an R² of 0, and a constant has no correlation.
    """
    metric, labels = record["metric"], record["labels"] or {}
    if metric == "roc_auc":
        return 0.5, "chance"
    if metric == "balanced_accuracy":
        return 1 / len(labels), "chance"
    if metric == "accuracy":
        return max(labels.values()) / sum(labels.values()), "always the most frequent label"
    return 0.0, "no relation to the number"


def _figure(record: dict) -> str:
    scores, traces = record["scores"], []
    metric, (guess, guessed) = NAMES[record["metric"]], chance(record)
    first = guess - 0.02 * (1 - guess)
    drawn = [name for name in scores if scores[name]["mean"] >= first]
    ends = {name: _interval(record, name) for name in drawn}
    for baseline, colour in ((False, PALETTE[0]), (True, PALETTE[1])):
        names = [name for name in drawn if (name in BASELINES) == baseline]
        means = [scores[name]["mean"] for name in names]
        traces.append(
            {
                "x": means,
                "y": [escape(NAMES.get(name, name)) for name in names],
                "mode": "markers",
                "marker": {"color": colour, "size": 9},
                "error_x": {
                    "array": [ends[name][1] - scores[name]["mean"] for name in names],
                    "arrayminus": [scores[name]["mean"] - ends[name][0] for name in names],
                    "color": colour,
                },
                "hovertemplate": "%{y}: %{x:.3f}<extra></extra>",
            }
        )
    kmers = scores[GC_KMERS]["mean"]
    layout = {
        "height": 130 + 26 * len(scores),
        "title": "Linear probe, mean and 95 % interval",
        "showlegend": False,
        "shapes": [_line(guess, "var(--soft)"), _line(kmers, PALETTE[1])],
        "annotations": [
            {"x": guess, "y": 1, "yref": "paper", "text": guessed, "yanchor": "bottom"}
            | {"xanchor": "left", "showarrow": False, "font": {"size": 11}},
            # A value below the axis is written at its start.
            *(
                {"x": guess, "xanchor": "left", "xshift": 6, "showarrow": False}
                | {"y": escape(NAMES.get(name, name)), "font": {"size": 11}}
                | {"text": f"\u25c2 {scores[name]['mean']:.3f}, below this axis"}
                for name in scores
                if name not in drawn
            ),
        ],
        "xaxis": {"title": {"text": metric}, "range": [first, 1.005]},
        "yaxis": {
            "type": "category",
            "categoryorder": "array",
            "categoryarray": [escape(NAMES.get(name, name)) for name in scores],
            "range": [len(scores) - 0.5, -0.5],
        },
    }
    best = record["best"]
    alt = (
        f"{metric} of a linear probe on each layer: {best} has the best mean, "
        f"{scores[best]['mean']:.3f}. GC and k-mer counts have {kmers:.3f}, and {guessed} is "
        f"{guess:.3g}."
    )
    return plot(traces, layout, alt)


def _line(value: float, colour: str) -> dict:
    """A dotted line at a value of the metric."""
    line = {"dash": "dot", "color": colour, "width": 1.5}
    return {"type": "line", "x0": value, "x1": value, "yref": "paper", "y0": 0, "y1": 1} | {
        "line": line
    }


def _table(record: dict, values: pl.DataFrame) -> str:
    means = values.group_by("layer", "metric", maintain_order=True).agg(pl.col("value").mean())
    metrics = [record["metric"]]
    metrics += [name for name in means["metric"].unique(maintain_order=True) if name not in metrics]
    known = {(layer, metric): value for layer, metric, value in means.iter_rows()}
    rows = [
        (
            NAMES.get(name, name),
            *(f"{known[name, metric]:.3f}" for metric in metrics),
            "{:.3f} to {:.3f}".format(*_interval(record, name)),
        )
        for name in record["scores"]
    ]
    heads = ("layer", *(NAMES[metric] for metric in metrics), f"{NAMES[metrics[0]]}, 95 %")
    return table(heads, rows, "probes of the layers")


def _interval(record: dict, name: str) -> tuple[float, float]:
    """The ends of an interval; no metric exceeds 1, and only those of numbers fall below 0."""
    score = record["scores"][name]
    low = score["low"] if record["metric"] == "r2" else max(score["low"], 0.0)
    return low, min(score["high"], 1.0)
