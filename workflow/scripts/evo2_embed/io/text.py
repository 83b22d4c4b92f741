"""Names, numbers, tables and long lines as text for the terminal, which has 100 columns."""

import re
import textwrap
from collections.abc import Iterator
from typing import TextIO

from evo2_embed.io.errors import InputError

COLUMNS = 100
LONGEST_LINE = 1 << 20  # characters of a line of a text file
NAME = 80  # most characters of a name in a message or on the report page
MESSAGE = 2000  # most characters of a message
_GAP = 2  # blanks between two columns of a table
_LEAST = 8  # characters to which words of a table are cut
_STATUS = 6  # characters of a status word and the blanks after it

# What a terminal or a browser obeys: control characters, line separators, marks that turn the
# direction of the text behind them. And bytes that are not UTF-8, which cannot be printed.
_OBEYED = re.compile(
    r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)


def is_printable(text: str) -> bool:
    """Whether a terminal shows a text as it is."""
    return not _OBEYED.search(text)


def printable(text: str) -> str:
    """A text in which characters that a terminal or a browser would obey are escaped.

    Examples
    --------
    >>> printable("red: \\x1b[31m")
    'red: \\\\x1b[31m'
    """
    return _OBEYED.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


def shown(name: object, most: int = NAME) -> str:
    """A name, or another text from a file of the user, for a message or the report page: printable,
    and cut in its middle if it is longer than `most` characters."""
    text = str(name)
    if len(text) > most:
        head = 2 * most // 3
        text = f"{text[:head]}...{text[len(text) + head + 3 - most :]}"
    return printable(text)


def fault_lines(kind: str, error: InputError) -> str:
    """The faults of an error for the terminal, one line each."""
    return "\n".join(f"{kind}: {shown(line, MESSAGE)}" for line in str(error).split("\n"))


def numbered_lines(handle: TextIO) -> Iterator[tuple[int, str]]:
    """Lines of a text file, without their ends, and their numbers from 1. Memory does not depend on
    the length of a line.

    Raises
    ------
    InputError
        If a line is longer than `LONGEST_LINE`.
    """
    number = 0
    while line := handle.readline(LONGEST_LINE + 1):
        number += 1
        if len(line) > LONGEST_LINE:
            raise InputError(f"line {number}: longer than {LONGEST_LINE:,} characters")
        yield number, line.rstrip("\r\n")


def whole_number(cell: str) -> int:
    """A whole number of a table. Unlike `int`, only plain digits: no '1_000', no digits of other
    scripts.

    Raises
    ------
    ValueError
        If the cell is something else, or has more than 100 characters.
    """
    if "_" in cell or len(cell) > 100 or not cell.isascii():
        raise ValueError
    return int(cell)


def some_of(names: list[str], most: int = 10) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(map(shown, names[:most])) + more


def human_bytes(number: float) -> str:
    """A size: 1.2 MB."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


def text_table(rows: list[dict], words: int = 1) -> str:
    """Rows as a table that fits the terminal; the first `words` columns hold words, the others hold
    numbers. If it is too wide, headers have several lines, then the longest words are cut in their
    middle."""
    import tabulate  # only here: a run is planned without it

    tabulate.MIN_PADDING = 0  # columns as narrow as their headers
    heads = list(dict.fromkeys(head for row in rows for head in row))
    cells = [[str(row.get(head, "")) for head in heads] for row in rows]
    widest = [max(map(len, column)) for column in zip(*cells, strict=True)]
    room = COLUMNS - _GAP * (len(heads) - 1)
    if sum(map(max, widest, map(len, heads))) > room:
        heads = [_broken(head, width) for head, width in zip(heads, widest, strict=True)]
        tops = [max(map(len, head.split("\n"))) for head in heads]
        widths = [max(*pair) for pair in zip(widest, tops, strict=True)]
        while sum(widths) > room and max(widths[:words]) > _LEAST:
            widths[widths.index(max(widths[:words]))] -= 1
        for row in cells:
            row[:words] = [shown(*pair) for pair in zip(row[:words], widths, strict=False)]
    align = ["left"] * words + ["right"] * (len(heads) - words)
    return tabulate.tabulate(cells, heads, colalign=align, disable_numparse=True)


def _broken(head: str, width: int) -> str:
    """A header on several lines, as narrow as its column or its longest word."""
    longest = max(map(len, head.split()), default=1)
    return "\n".join(textwrap.wrap(head, max(width, longest), break_on_hyphens=False))


def status_line(word: str, line: str) -> str:
    """A line that begins with OK, WARN or FAIL, continued on indented lines if it is too long."""
    indent = " " * _STATUS
    return textwrap.fill(
        f"{word:<{_STATUS}}{line}",
        COLUMNS,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def wrapped(line: str) -> str:
    """A line, continued on indented lines if it is too long."""
    return textwrap.fill(
        line, COLUMNS, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )
