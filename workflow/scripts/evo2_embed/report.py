"""The report page: one HTML file, with everything in it, that needs no network."""

import json
from html import escape

import numpy as np
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs
from sklearn.decomposition import PCA

from evo2_embed.fasta import short
from evo2_embed.page import PAGE
from evo2_embed.sampling import Sample, sample_layer
from evo2_embed.summary import Result
from evo2_embed.text import human_bytes

PALETTE = (
    "#2f6f6a",
    "#c8793b",
    "#5b6fb0",
    "#a8475b",
    "#7d9a3c",
    "#8a6bb3",
    "#3b98b8",
    "#b59a3a",
    "#6b4f3a",
    "#d08fa6",
    "#4c5a63",
    "#7fb59b",
)
MOST_GENOMES = 50
MOST_POINTS = 3000
MOST_CONTIGS = len(PALETTE)


def render_report(results: list[Result], chunks: list[str]) -> str:
    """The page.

    Parameters
    ----------
    results : list of Result
    chunks : list of str
        Chunk tables of all bundles, for the GC share of rows.
    """
    sections = [_overview(results), _packing(results), _speed(results)]
    sections += [_embeddings(result, chunks) for result in results]
    sections.append(_provenance(results))
    return PAGE.substitute(plotly=get_plotlyjs(), sections="\n".join(sections))


def _overview(results: list[Result]) -> str:
    first = results[0]
    genomes = first.manifest["genomes"]
    cards = _cards(
        {
            "genomes": f"{len(genomes):,}",
            "chunks": f"{first.total('n_chunks'):,}",
            "tokens": f"{first.total('n_tokens'):,}",
            "rows": f"{sum(result.manifest['rows'] for result in results):,}",
            "on disk": human_bytes(sum(result.bytes for result in results)),
        }
    )
    shown = sorted(genomes, key=lambda genome: -genome["counts"].get("bases", 0))[:MOST_GENOMES]
    rows = [
        (
            genome["genome"],
            *(f"{genome['counts'].get(key, 0):,}" for key in ("contigs", "bases", "chunks")),
            "; ".join(
                f"{number:,} x {reason.removeprefix('skipped: ')}"
                for reason, number in genome["counts"].items()
                if reason.startswith("skipped: ")
            )
            or "nothing",
        )
        for genome in shown
    ]
    table = _table(("genome", "contigs", "bases", "chunks", "skipped"), rows)
    rest = len(genomes) - len(shown)
    more = f"<p class=note>and {rest:,} smaller genomes</p>" if rest else ""
    return _section("Overview", cards + table + more)


def _packing(results: list[Result]) -> str:
    rows = [
        (
            result.name,
            f"{result.total('n_packs'):,}",
            f"{result.room_share:.1%}",
            f"{result.padding_share:.1%}",
        )
        for result in results
    ]
    note = (
        "<p class=note>Padding would have been: the share of pads, had the same chunks been put "
        "into batches of the same size, in their order, each padded to its longest.</p>"
    )
    heads = ("extraction", "packs", "room used", "padding would have been")
    return _section("Packing", _table(heads, rows) + note)


def _speed(results: list[Result]) -> str:
    figure = go.Figure()
    for color, result in zip(_colors(len(results)), results, strict=True):
        shards = [shard for shard in result.shards if shard["tokens_per_second"]]
        figure.add_bar(
            x=[shard["shard"] for shard in shards],
            y=[shard["tokens_per_second"] for shard in shards],
            name=result.name,
            marker_color=color,
            customdata=[[s["device"], s["peak_memory_mb"], s["n_tokens"]] for s in shards],
            hovertemplate="%{x}: %{y:,.0f} tokens/s<br>%{customdata[2]:,} tokens on "
            "%{customdata[0]}, %{customdata[1]:,} MB",
        )
    few = max(len(result.shards) for result in results) < 4
    figure.update_layout(yaxis_title="tokens/s", xaxis_title="shard", bargap=0.8 if few else 0.2)
    figure.update_xaxes(showticklabels=sum(len(r.shards) for r in results) <= 24)
    return _section("Speed", _plot(figure, 300))


def _embeddings(result: Result, chunks: list[str]) -> str:
    parts = []
    for name, layer in result.manifest["layers"].items():
        parts.append(f"<h3>{escape(name)} <small>{layer['width']} numbers a row</small></h3>")
        if not layer["rows"]:
            parts.append("<p class=note>This dataset has no rows.</p>")
            continue
        sample = sample_layer(result.folder / name, layer, chunks, MOST_POINTS)
        note = f"{len(sample.vectors):,} of {layer['rows']:,} rows, evenly spaced."
        parts.append(f"<p class=note>{note}</p><div class=grid>{_figures(sample)}</div>")
    return _section(f"Embeddings: {escape(result.name)}", "\n".join(parts))


def _figures(sample: Sample) -> str:
    norms = np.linalg.norm(sample.vectors, axis=1)
    histogram = go.Figure(go.Histogram(x=norms, nbinsx=40, marker_color=PALETTE[0]))
    histogram.update_layout(title="Length of the vectors", xaxis_title="norm", yaxis_title="rows")
    cells = [_plot(histogram, 340)]
    differ = (sample.vectors != sample.vectors[0]).any()
    if len(sample.vectors) < 2 or sample.vectors.shape[1] < 2 or not differ:
        cells.append(
            "<p class=note>No projection: it needs two rows that differ, and two numbers a row.</p>"
        )
        return "".join(cells)
    pca = PCA(n_components=2, random_state=0).fit(sample.vectors)
    points = pca.transform(sample.vectors)
    axes = [f"PC{i + 1} ({share:.0%})" for i, share in enumerate(pca.explained_variance_ratio_)]
    hover = [
        f"{escape(row['genome'])}<br>{escape(short(row['contig']))}"
        f"<br>{row['start']:,} to {row['end']:,} ({row['strand']})"
        for row in sample.keys.iter_rows(named=True)
    ]
    for figure in (_by_gc(sample, points, hover), _by_contig(sample, points, hover)):
        figure.update_layout(xaxis_title=axes[0], yaxis_title=axes[1])
        cells.append(_plot(figure, 340 + 19 * (len(figure.data) - 1)))
    return "".join(cells)


def _by_gc(sample: Sample, points: np.ndarray, hover: list[str]) -> go.Figure:
    marker = {
        "color": sample.keys["gc"].to_numpy(),
        "colorscale": "Viridis",
        "size": 5,
        "opacity": 0.8,
        "colorbar": {"title": "GC", "thickness": 10, "tickformat": ".0%"},
    }
    scatter = go.Scatter(
        x=points[:, 0], y=points[:, 1], mode="markers", marker=marker, text=hover, hoverinfo="text"
    )
    return go.Figure(scatter).update_layout(title="Principal components, by GC share")


def _by_contig(sample: Sample, points: np.ndarray, hover: list[str]) -> go.Figure:
    labels = sample.keys.select("genome", "contig").rows()
    counts: dict[tuple, int] = {}
    for label in labels:
        counts[label] = counts.get(label, 0) + 1
    named = sorted(counts, key=lambda label: -counts[label])[:MOST_CONTIGS]
    several = len({genome for genome, _ in counts}) > 1
    figure = go.Figure()
    groups = [(f"{g} {c}" if several else c, [(g, c)]) for g, c in named]
    others = [label for label in counts if label not in set(named)]
    groups += [(f"{len(others):,} others", others)] if others else []
    for color, (name, members) in zip((*PALETTE, "#b8b8b0"), groups, strict=False):
        members = set(members)
        rows = [row for row, label in enumerate(labels) if label in members]
        figure.add_scatter(
            x=points[rows, 0],
            y=points[rows, 1],
            mode="markers",
            name=escape(name if len(name) <= 24 else f"{name[:11]}…{name[-12:]}"),
            marker={"color": color, "size": 5, "opacity": 0.8},
            text=[hover[row] for row in rows],
            hoverinfo="text",
        )
    figure.update_layout(title="Principal components, by contig", showlegend=True)
    return figure.update_layout(legend={"orientation": "h", "y": -0.25, "font": {"size": 11}})


def _provenance(results: list[Result]) -> str:
    parts = []
    for result in results:
        manifest = result.manifest
        packages = ", ".join(f"{name} {number}" for name, number in manifest["packages"].items())
        rows = [
            ("model", manifest["model"]),
            ("checkpoint, SHA-256", manifest["checkpoint_sha256"]),
            ("engine, precision", f"{manifest['engine']}, {manifest['precision']}"),
            ("self-check", _self_check(manifest)),
            ("pooling", json.dumps(manifest["pooling"])),
            ("packages", packages),
            ("workflow", manifest["workflow"]),
            ("windows", json.dumps(manifest["settings"]["windows"]["windows"])),
            ("packing", json.dumps(manifest["settings"]["packing"]["packing"])),
        ]
        parts.append(f"<h3>{escape(result.name)}</h3>{_table(None, rows)}")
    return _section("Provenance", "".join(parts))


def _self_check(manifest: dict) -> str:
    checks = [layer["self_check"] for layer in manifest["layers"].values() if layer["self_check"]]
    if not checks:
        return "none (stock engine, or nothing embedded)"
    worst = max(check["difference"] for check in checks)
    return f"at most {worst:.1e} from Evo2.forward, allowed {checks[0]['tolerance']:g}"


def _section(title: str, body: str) -> str:
    return f"<section><h2>{title}</h2>{body}</section>"


def _cards(values: dict[str, str]) -> str:
    cards = (f"<div><b>{escape(v)}</b><span>{escape(k)}</span></div>" for k, v in values.items())
    return f"<div class=cards>{''.join(cards)}</div>"


def _table(heads: tuple[str, ...] | None, rows: list[tuple]) -> str:
    head = "".join(f"<th>{escape(name)}</th>" for name in heads) if heads else ""
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<div class=table><table><tr>{head}</tr>{body}</table></div>"


def _plot(figure: go.Figure, height: int) -> str:
    figure.update_layout(
        template="plotly_white",
        height=height,
        margin={"l": 60, "r": 20, "t": 40, "b": 50},
        font={"family": "system-ui, sans-serif", "size": 12, "color": "#23302e"},
        title_font_size=14,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
    )
    config = {"displaylogo": False, "responsive": True, "displayModeBar": False}
    html = figure.to_html(full_html=False, include_plotlyjs=False, config=config)
    return f"<div class=plot>{html}</div>"


def _colors(number: int) -> list[str]:
    return [PALETTE[i % len(PALETTE)] for i in range(number)]
