"""Which layer predicts the labels best."""

import polars as pl

from evo2_embed.analysis.probes.labels import GC_KMERS, SHUFFLED
from evo2_embed.io.text import shown
from evo2_embed.report.colours import PALETTE
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


def probes(record: dict, values: pl.DataFrame) -> str:
    """The results of an extraction's probes, as written by `probes.extraction`.

    Parameters
    ----------
    record : dict
    values : DataFrame
        layer, metric, fold, value.
    """
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


def _figure(record: dict) -> str:
    scores, traces = record["scores"], []
    for baseline, colour in ((False, PALETTE[0]), (True, PALETTE[1])):
        names = [name for name in scores if (name in BASELINES) == baseline]
        means = [scores[name]["mean"] for name in names]
        traces.append(
            {
                "x": means,
                "y": [escape(NAMES.get(name, name)) for name in names],
                "mode": "markers",
                "marker": {"color": colour, "size": 9},
                "error_x": {
                    "array": [_high(scores[name]) - scores[name]["mean"] for name in names],
                    "arrayminus": [scores[name]["mean"] - scores[name]["low"] for name in names],
                    "color": colour,
                },
                "hovertemplate": "%{y}: %{x:.3f}<extra></extra>",
            }
        )
    kmers = scores[GC_KMERS]["mean"]
    line = {"dash": "dot", "color": PALETTE[1], "width": 1}
    layout = {
        "height": 130 + 24 * len(scores),
        "title": "Linear probe on each layer",
        "showlegend": False,
        "shapes": [
            {"type": "line", "x0": kmers, "x1": kmers, "yref": "paper", "y0": 0, "y1": 1}
            | {"line": line}
        ],
        "xaxis": {"title": {"text": NAMES[record["metric"]]}},
        "yaxis": {"type": "category", "autorange": "reversed"},
    }
    best = record["best"]
    alt = (
        f"{NAMES[record['metric']]} of a linear probe on each layer: {best} has the best mean, "
        f"{scores[best]['mean']:.3f}; GC and k-mer counts have {kmers:.3f}."
    )
    return plot(traces, layout, alt)


def _table(record: dict, values: pl.DataFrame) -> str:
    means = values.group_by("layer", "metric", maintain_order=True).agg(pl.col("value").mean())
    metrics = [record["metric"]]
    metrics += [name for name in means["metric"].unique(maintain_order=True) if name not in metrics]
    known = {(layer, metric): value for layer, metric, value in means.iter_rows()}
    rows = [
        (
            NAMES.get(name, name),
            *(f"{known[name, metric]:.3f}" for metric in metrics),
            f"{score['low']:.3f} to {_high(score):.3f}",
        )
        for name, score in record["scores"].items()
    ]
    heads = ("layer", *(NAMES[metric] for metric in metrics), f"{NAMES[metrics[0]]}, 95 %")
    return table(heads, rows)


def _high(score: dict) -> float:
    """The upper end of an interval; no metric exceeds 1."""
    return min(score["high"], 1.0)
