"""The page, put together from its sections."""

import re
from html import escape
from pathlib import Path
from string import Template

from plotly.offline import get_plotlyjs

from evo2_embed.files import read_json
from evo2_embed.report.embeddings import Labels, embeddings
from evo2_embed.report.layers import comparison
from evo2_embed.report.overview import overview, packing, provenance, speed
from evo2_embed.report.stages import Stage
from evo2_embed.summary import Result

HERE = Path(__file__).resolve().parent


def render_report(
    results: list[Result],
    chunks: list[str],
    comparisons: list[str],
    stages: list[Stage],
    settings: dict,
    labels: Labels | None,
) -> str:
    """The page.

    Parameters
    ----------
    results : list of Result
    chunks : list of str
        Chunk tables of all bundles.
    comparisons : list of str
        What `compare.layers.compare_layers` wrote, `{extraction}.json` each.
    stages : list of Stage
    settings : dict
        The section `report` of the configuration.
    labels : callable, optional
        What says the label of each row, if labels were given.
    """
    compared = {Path(path).stem: read_json(path) for path in comparisons}
    sections = [overview(results), packing(results), speed(results, stages)]
    for result in results:
        if result.name in compared:
            sections.append(comparison(result.name, compared[result.name]))
        sections.append(embeddings(result, chunks, settings, labels))
    sections.append(provenance(results))
    page = Template((HERE / "page.html").read_text())
    return page.substitute(
        plotly=get_plotlyjs(),
        links=_links(sections),
        sections="\n".join(sections),
        figures=(HERE / "figures.js").read_text(),
    )


def _links(sections: list[str]) -> str:
    """A link to every section, from its anchor and its title."""
    found = [re.match(r'<section id="([^"]*)"><h2>([^<]*)</h2>', text) for text in sections]
    return "".join(f'<a href="#{escape(match[1])}">{match[2]}</a>' for match in found)
