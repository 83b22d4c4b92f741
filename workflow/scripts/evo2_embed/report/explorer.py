"""Plots of rows that are linked: a projection, a list, and a track (`explorer.js`)."""

from evo2_embed.analysis.probes.formats import BACKGROUND
from evo2_embed.report.colours import GREY
from evo2_embed.report.html import choice, data, escape, note

HINTS = (
    "Drag around points: their rows are listed here.",
    "Click a point, or a row of the list: its nearest neighbours.",
    "Click a name in a legend: its rows.",
    "Drag over a track: the rows of this part of the contig.",
)
SELECT = {"lasso": "select with a lasso", "select": "select a box", "zoom": "zoom", "pan": "move"}
_RULE = (
    "A line is broken where the next row starts more than twice the usual (median) distance away."
)
_BAND = " The band shows the labels."


def explorer(
    datasets: dict[str, dict],
    tables: list[dict],
    colours: dict[str, dict[str, str]],
    first: str | None,
) -> str:
    """A projection with its list of rows and its track.

    Parameters
    ----------
    datasets : dict of dict
        By title, see `embeddings.draw_embeddings`.
    tables : list of dict
        Of `drawn_rows.encoded_rows`.
    colours : dict of dict
        See `drawn_rows.column_colours`.
    first : str, optional
        Title of the dataset that is shown first.
    """
    titles = sorted(datasets, key=lambda title: title != first)
    value = {"datasets": datasets, "tables": tables, **_colours(colours)}
    menus = (
        choice("dataset", {title: title for title in titles})
        + choice("axes", {})
        + choice("colour", {})
        + choice("drag", SELECT)
    )
    return (
        f"<div data-explorer><div class=choices>{menus}</div>"
        "<p class='note says-rows'></p><div class=explorer>"
        "<div class=plot><div class='drawing projection'></div><ul class=legend></ul></div>"
        f"{_finder()}</div>"
        f"<div class=choices>{choice('contig', {})}{choice('track', {})}</div>"
        f"{_track(tables)}{data(value)}</div>"
    )


def track(
    table: dict, colours: dict[str, dict[str, str]], column: str, line: float, joined: bool
) -> str:
    """A track of a column along a contig, with a dotted line.

    Parameters
    ----------
    table : dict
        Of `drawn_rows.encoded_rows`.
    colours : dict of dict
        See `drawn_rows.column_colours`.
    column : str
        Title of the column.
    line : float
    joined : bool
        Whether a row is of both strands.
    """
    value = {"table": table, "column": column, "line": line, "joined": joined, **_colours(colours)}
    return (
        f"<div data-track><div class=choices>{choice('contig', {})}</div>"
        f"{_track([table])}{data(value)}</div>"
    )


def _colours(colours: dict[str, dict[str, str]]) -> dict:
    """Colours for the script. Names that are not there are "others", in grey."""
    own = {
        title: {n: c for n, c in mine.items() if c != GREY or n == BACKGROUND}
        for title, mine in colours.items()
    }
    return {"colours": own, "grey": GREY}


def _track(tables: list[dict]) -> str:
    banded = any("names" in table["columns"].get("label", {}) for table in tables)
    return (
        "<div class=plot><div class='drawing track'></div><ul class=legend></ul></div>"
        f"{note(_RULE + _BAND * banded)}"
    )


def _finder() -> str:
    buttons = "".join(
        f"<button type=button name={name}>{escape(text)}</button>"
        for name, text in {
            "copy": "Copy CSV",
            "csv": "Save CSV",
            "bed": "Save BED",
            "clear": "Clear",
        }.items()
    )
    return (
        "<div class=finder><label>Find a name, or a position such as chr1:1,001-2,000"
        "<input type=search name=find spellcheck=false></label>"
        f"<ul class='hints note'>{''.join(f'<li>{text}</li>' for text in HINTS)}</ul>"
        "<p class=found aria-live=polite></p>"
        f"<div class=actions hidden>{buttons}</div>"
        "<div class='table listed' tabindex=0 role=region aria-label='Rows' hidden>"
        "<table><thead></thead><tbody></tbody></table></div></div>"
    )
