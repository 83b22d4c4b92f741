"""Numbers, tables and long lines as text for the terminal, which has 100 columns."""

import textwrap

COLUMNS = 100


def human_bytes(number: float) -> str:
    """A size: 1.2 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


def text_table(rows: list[dict], words: int = 1) -> str:
    """Rows as a table; the first `words` columns hold words, the others numbers."""
    import tabulate  # only here: a run is planned without it

    tabulate.MIN_PADDING = 0  # columns as narrow as their headers
    align = ["left"] * words + ["right"] * (len(rows[0]) - words)
    return tabulate.tabulate(rows, headers="keys", colalign=align, disable_numparse=True)


def wrapped(line: str) -> str:
    """A line, continued on indented lines if it is too long."""
    return textwrap.fill(
        line, COLUMNS, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )
