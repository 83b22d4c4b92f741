"""Parts of the sections of the page."""

import html
import json

import plotly.graph_objects as go

from evo2_embed.io.text import printable

PALETTE = ("#2f6f6a", "#c8793b", "#5b6fb0", "#a8475b", "#7d9a3c", "#8a6bb3", "#3b98b8", "#b59a3a")


class Raw(str):
    """Text that is HTML already: table cells with it are not escaped."""


def escape(text: str) -> str:
    """Text for the page: tags, and characters that a browser would obey, are escaped."""
    return html.escape(printable(text))


def section(title: str, body: str) -> str:
    """A section; its anchor is the title."""
    name = escape(title)
    return f'<section id="{anchor(title)}"><h2>{name}</h2>{body}</section>'


def anchor(title: str) -> str:
    """The anchor of a section."""
    return "".join(letter if letter.isalnum() else "-" for letter in title.lower())


def note(text: str) -> str:
    """A note in small print."""
    return f"<p class=note>{escape(text)}</p>"


def says(text: str) -> str:
    """The message of a section, in one or two sentences."""
    return f"<p class=says>{escape(text)}</p>"


def cards(values: dict[str, str]) -> str:
    """Numbers in large print, by their names."""
    inner = (f"<div><b>{escape(v)}</b><span>{escape(k)}</span></div>" for k, v in values.items())
    return f"<div class=cards>{''.join(inner)}</div>"


def table(heads: tuple[str, ...] | None, rows: list[tuple]) -> str:
    """A table; cells are escaped unless they are `Raw`."""
    head = "".join(f"<th>{escape(name)}</th>" for name in heads) if heads else ""
    body = "".join("<tr>" + "".join(f"<td>{_cell(c)}</td>" for c in row) + "</tr>" for row in rows)
    return f"<div class=table><table><tr>{head}</tr>{body}</table></div>"


def grid(*cells: str) -> str:
    """Figures side by side if the page is wide enough."""
    return f"<div class=grid>{''.join(cells)}</div>"


def plot(figure: go.Figure, height: int) -> str:
    """A figure in the page's style."""
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
    drawn = figure.to_html(full_html=False, include_plotlyjs=False, config=config)
    return f"<div class=plot>{drawn}</div>"


def data(value: object) -> str:
    """A value for the page's script; no text in it can end the element. Names in it are `shown`."""
    text = json.dumps(value, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")
    return f'<script type="application/json">{text}</script>'


def choice(name: str, options: dict[str, str]) -> str:
    """A menu: shown texts by value."""
    inner = "".join(
        f'<option value="{escape(value)}">{escape(text)}</option>'
        for value, text in options.items()
    )
    return f'<label>{escape(name)}<select name="{escape(name)}">{inner}</select></label>'


def _cell(value: object) -> str:
    return value if isinstance(value, Raw) else escape(str(value))
