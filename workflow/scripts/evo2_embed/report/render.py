"""The page, joined from its sections."""

import re
from dataclasses import dataclass
from pathlib import Path
from string import Template

import polars as pl

from evo2_embed.analysis.probes.extraction import PROBES
from evo2_embed.io.files import read_json
from evo2_embed.io.tables import open_table
from evo2_embed.report.best import Best
from evo2_embed.report.burn_in import burn_in
from evo2_embed.report.drawn_rows import Labels, column_colours
from evo2_embed.report.effects import Effects
from evo2_embed.report.embeddings import draw_embeddings, embeddings
from evo2_embed.report.heads import heads
from evo2_embed.report.html import escape
from evo2_embed.report.layers import layers
from evo2_embed.report.overview import overview, packing, provenance, speed
from evo2_embed.report.scores import draw_scores, scores
from evo2_embed.report.stages import Stage
from evo2_embed.report.summary import Result
from evo2_embed.report.variants import variants
from evo2_embed.settings.analyses import Report

HERE = Path(__file__).resolve().parent
EXPLORER = ("rows.js", "points.js", "track.js", "list.js", "explorer.js")


@dataclass(frozen=True)
class Sources:
    """Files for the page, in addition to the results.

    Attributes
    ----------
    chunks : list of str
        Chunk tables of all bundles.
    comparisons : list of str
        Written by `compare.layers.compare_layers`, `{extraction}.json` each.
    burn_in : list of str
        Written by `burn_in.measure.measure_burn_in`, `{extraction}.json` each.
    probes : list of str
        Written by `probes.extraction.probe_extraction`, `{extraction}.json` each, with its table
        beside it.
    training_set : str, optional
        The summary written by `finetune.dataset`.
    """

    chunks: list[str]
    comparisons: list[str]
    burn_in: list[str]
    probes: list[str]
    training_set: str | None


def render_report(
    results: list[Result],
    sources: Sources,
    stages: list[Stage],
    settings: Report,
    labels: Labels | None,
    effects: dict[str, Effects],
    best: dict[str, Best],
) -> str:
    """The page.

    Parameters
    ----------
    results : list of Result
    sources : Sources
    stages : list of Stage
    settings : Report
    labels : callable, optional
        Gives the label of each row, if there are labels.
    effects : dict of str to Effects
        Of the variants, by extraction; none without variants.
    best : dict of str to Best
        The best layer of each extraction that has layers.
    """
    compared = {Path(path).stem: read_json(path) for path in sources.comparisons}
    measured = {Path(path).stem: read_json(path) for path in sources.burn_in}
    probed = {Path(path).stem: _read_probes(path) for path in sources.probes}
    training_set = read_json(sources.training_set) if sources.training_set else None
    drawn = draw_embeddings(results, sources.chunks, settings, labels)
    scored = {result.name: draw_scores(result, settings, labels) for result in results}
    tables = [*drawn.tables, *(rows for rows in scored.values() if rows is not None)]
    colours = column_colours(columns for _, columns in tables)
    first = next((drawn.title(r, best[r.name].layer) for r in results if r.name in best), None)
    sections = [
        overview(results),
        embeddings(drawn, colours, first),
        packing(results, training_set),
        speed(results, stages),
    ]
    for result in results:
        sections.append(layers(result.name, compared.get(result.name), probed.get(result.name)))
        sections.append(burn_in(result.name, measured.get(result.name)))
        sections.append(scores(result, scored[result.name], colours))
        sections.append(variants(result, effects.get(result.name)))
        sections.append(heads(result))
    sections.append(provenance(results))
    return join_sections([text for text in sections if text])


def join_sections(sections: list[str]) -> str:
    """The page of some sections, with its style and its scripts."""
    page = Template(_text("page.html"))
    return page.substitute(
        plotly=_text("plotly/plotly.min.js"),
        style=_text("page.css") + _text("explorer.css"),
        script=_text("page.js"),
        links=_links(sections),
        sections="\n".join(sections),
        figures="\n".join(map(_text, EXPLORER)),
    )


def _text(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


def _read_probes(path: str) -> tuple[dict, pl.DataFrame]:
    table = Path(path).with_suffix(".parquet")
    return read_json(path), pl.from_arrow(open_table(table, PROBES).read())


def _links(sections: list[str]) -> str:
    """Links to all sections, from their anchors and titles."""
    found = [re.match(r'<section id="([^"]*)"><h2>([^<]*)</h2>', text) for text in sections]
    return "".join(f'<a href="#{escape(match[1])}">{match[2]}</a>' for match in found)
