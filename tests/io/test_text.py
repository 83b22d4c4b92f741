"""Text for the terminal: narrow tables, and lines that fit."""

from evo2_embed.io.text import COLUMNS, text_table, wrapped


def test_columns_are_as_narrow_as_their_widest_cell():
    rows = [{"name": "a", "tokens/s per job": "5"}, {"name": "long name", "tokens/s per job": "12"}]
    assert text_table(rows).splitlines() == [
        "name       tokens/s per job",
        "---------  ----------------",
        "a                         5",
        "long name                12",
    ]


def test_a_long_line_continues_on_indented_lines_with_all_its_words():
    line = "- " + " ".join(["windows.context", "https://example.org/a-b-c"] * 8)
    lines = wrapped(line).splitlines()
    assert len(lines) > 2
    assert max(map(len, lines)) <= COLUMNS
    assert all(part.startswith("  ") for part in lines[1:])
    assert " ".join(part.strip() for part in lines) == line
    assert wrapped("short") == "short"
