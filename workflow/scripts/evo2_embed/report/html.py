"""Parts of the sections of the page."""

import html
import json
import math

from evo2_embed.io.text import printable


class Raw(str):
    """Text that is HTML already: table cells with it are not escaped."""


class Amount(str):
    """Text of a number with its unit, such as `3 min 20 s`; columns of it are sorted by `value`."""

    def __new__(cls, text: str, value: float):
        made = super().__new__(cls, text)
        made.value = value
        return made


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


def table(heads: tuple[str, ...], rows: list[tuple], name: str) -> str:
    """A table that can be sorted; cells are escaped unless they are `Raw`. `name` says what it
    holds, for readers who do not see it."""
    head = "".join(f"<th scope=col>{escape(head)}</th>" for head in heads)
    body = "".join("<tr>" + "".join(map(_cell, row)) + "</tr>" for row in rows)
    return (
        f'<div class=table><table aria-label="{escape(name)}"><thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
        "<p class='note hint'>Scroll to see the whole table.</p>"
    )


def fold(title: str, body: str) -> str:
    """A part that opens with a click; print shows it open."""
    return f"<details><summary>{escape(title)}</summary>{body}</details>"


def grid(*cells: str) -> str:
    """Figures side by side if the page is wide enough."""
    return f"<div class=grid>{''.join(cells)}</div>"


def plot(traces: list[dict], layout: dict, alt: str) -> str:
    """A figure that the page's script draws with plotly.js.

    Parameters
    ----------
    traces : list of dict
    layout : dict
        With `height`. A colour such as `var(--soft)` is one of the page's style.
    alt : str
        What the figure shows, in a sentence, for readers who do not see it.
    """
    figure = data(_plain({"data": traces, "layout": layout}))
    label = f'role=img aria-label="{escape(alt)}"'
    return f"<div class=plot data-figure><div class=drawing {label}></div>{figure}</div>"


def _plain(value: object) -> object:
    """A value for JSON, which has no number for NaN."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


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
    text = value if isinstance(value, Raw) else escape(str(value))
    amount = f' data-value="{value.value:g}"' if isinstance(value, Amount) else ""
    return f"<td{amount}>{text}</td>"
