"""The page, joined from its sections."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template

import polars as pl

from evo2_embed.analysis.probes.extraction import PROBES
from evo2_embed.io.files import read_json
from evo2_embed.io.tables import open_table
from evo2_embed.report.best import Best
from evo2_embed.report.burn_in import burn_in
from evo2_embed.report.depth import by_order
from evo2_embed.report.drawn_rows import Labels, column_colours
from evo2_embed.report.effects import Effects
from evo2_embed.report.embeddings import draw_embeddings, embeddings
from evo2_embed.report.findings import findings
from evo2_embed.report.genomes import genomes
from evo2_embed.report.heads import heads
from evo2_embed.report.html import data, escape
from evo2_embed.report.layers import layers
from evo2_embed.report.run import run
from evo2_embed.report.scores import draw_scores, scores
from evo2_embed.report.stages import Stage
from evo2_embed.report.summary import Result
from evo2_embed.report.variants import variants
from evo2_embed.settings.analyses import Report

HERE = Path(__file__).resolve().parent
STYLES = ("page.css", "explorer.css")
EXPLORER = ("rows.js", "points.js", "track.js", "list.js", "explorer.js")
SCRIPTS = ("page.js", "tables.js", *EXPLORER, "buttons.js")
CONFIG_FILE = "evo2-embed.yaml"  # name of the downloaded configuration


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


@dataclass(frozen=True)
class About:
    """What the navigation says of the run.

    Attributes
    ----------
    written : str
        Date and time of the page.
    config : str
        The complete configuration, as YAML.
    """

    written: str
    config: str


def render_report(
    results: list[Result],
    sources: Sources,
    stages: list[Stage],
    settings: Report,
    labels: Labels | None,
    effects: dict[str, Effects],
    best: dict[str, Best],
    about: About,
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
    about : About
    """
    models = {result.name: result.manifest["model"] for result in results}
    compared = {Path(path).stem: read_json(path) for path in sources.comparisons}
    measured = {
        name: _in_order(read_json(path), models[name])
        for path in sources.burn_in
        if (name := Path(path).stem) in models
    }
    probed = {Path(path).stem: _read_probes(path) for path in sources.probes}
    training_set = read_json(sources.training_set) if sources.training_set else None
    drawn = draw_embeddings(results, sources.chunks, settings, labels)
    scored = {result.name: draw_scores(result, settings, labels) for result in results}
    tables = [*drawn.tables, *(rows for rows in scored.values() if rows is not None)]
    colours = column_colours(columns for _, columns in tables)
    first = next((drawn.title(r, best[r.name].layer) for r in results if r.name in best), None)
    kinds = (
        lambda result: layers(
            result.name, models[result.name], compared.get(result.name), probed.get(result.name)
        ),
        lambda result: burn_in(result.name, measured.get(result.name)),
        lambda result: variants(result, effects.get(result.name)),
        lambda result: scores(result, scored[result.name], colours),
        heads,
    )
    sections = [
        embeddings(drawn, colours, first),
        genomes(results, best),
        *(kind(result) for kind in kinds for result in results),
        run(results, stages, training_set, about.written),
    ]
    sections = [text for text in sections if text]
    sections.insert(0, findings(results, best, measured, "".join(sections)))
    return join_sections(sections, sorted(set(models.values())), about)


def join_sections(
    sections: list[str], models: Sequence[str] = (), about: About | None = None
) -> str:
    """Sections as a page, with its navigation, style and scripts."""
    about = about or About("", "")
    return Template(_text("page.html")).substitute(
        style="".join(map(_text, STYLES)),
        plotly=_text("plotly/plotly.min.js"),
        scripts="\n".join(map(_text, SCRIPTS)),
        links=_links(sections),
        sections="\n".join(sections),
        written=escape(about.written),
        models=escape(", ".join(models)),
        config=data({"yaml": about.config}),
        file=CONFIG_FILE,
    )


def _in_order(measured: dict, model: str) -> dict:
    """A record of burn-in, its layers in the order of the forward pass."""
    if "layers" not in measured:
        return measured
    known = measured["layers"]
    return {**measured, "layers": {name: known[name] for name in by_order(known, model)}}


def _text(name: str) -> str:
    return (HERE / name).read_text(encoding="utf-8")


def _read_probes(path: str) -> tuple[dict, pl.DataFrame]:
    table = Path(path).with_suffix(".parquet")
    return read_json(path), pl.from_arrow(open_table(table, PROBES).read())


def _links(sections: list[str]) -> str:
    """Links to all sections; those of several extractions beside the name of their kind."""
    kinds: dict[str, list[tuple[str, str]]] = {}
    for text in sections:
        place, title = re.match(r'<section id="([^"]*)"><h2>([^<]*)</h2>', text).groups()
        kind, _, name = title.partition(": ")
        kinds.setdefault(kind, []).append((place, name))
    return "".join(
        f'<li><a href="#{found[0][0]}">{kind}</a></li>'
        if len(found) == 1
        else f"<li>{kind} "
        + " ".join(f'<a href="#{place}">{name}</a>' for place, name in found)
        + "</li>"
        for kind, found in kinds.items()
    )
