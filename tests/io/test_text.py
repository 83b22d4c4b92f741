"""Text for the terminal: narrow tables, and lines that fit."""

import pytest
from evo2_embed.io.text import COLUMNS, is_printable, printable, shown, text_table, wrapped


def test_columns_are_as_narrow_as_their_widest_cell():
    rows = [{"name": "a", "tokens/s per job": "5"}, {"name": "long name", "tokens/s per job": "12"}]
    assert text_table(rows).splitlines() == [
        "name       tokens/s per job",
        "---------  ----------------",
        "a                         5",
        "long name                12",
    ]


@pytest.mark.parametrize("most", [8, 9, 30])
def test_a_name_is_cut_to_any_length(most):
    assert len(shown("abcdefghij" * 9, most)) == most
    assert shown("abcdefgh" * 9, most).startswith("abcde")


def test_a_wide_table_fits_with_headers_of_several_lines_and_words_that_are_cut():
    rows = [{"name": "n" * 90, "tokens/s per job": "5", "size": "9.9 GB"}]
    lines = text_table(rows).splitlines()
    assert [line.split() for line in lines[:2]] == [["name", "tokens/s", "size"], ["per", "job"]]
    assert max(map(len, lines)) == COLUMNS
    assert "n...n" in lines[3]


def test_a_long_line_continues_on_indented_lines_with_all_its_words():
    line = "- " + " ".join(["windows.context", "https://example.org/a-b-c"] * 8)
    lines = wrapped(line).splitlines()
    assert len(lines) > 2
    assert max(map(len, lines)) <= COLUMNS
    assert all(part.startswith("  ") for part in lines[1:])
    assert " ".join(part.strip() for part in lines) == line
    assert wrapped("short") == "short"


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("\x1b[31mred\x07", r"\x1b[31mred\x07"),
        ("a\u202eb\u2066c\u200f", r"a\u202eb\u2066c\u200f"),
        ("a\nb\rc\td\x00\x9b1m", r"a\nb\rc\td\x00\x9b1m"),
        ("a\u2028b\udc80", r"a\u2028b\udc80"),
    ],
)
def test_what_a_terminal_would_obey_is_escaped(text, seen):
    assert not is_printable(text)
    assert printable(text) == shown(text) == seen
    assert is_printable(seen)


def test_other_text_is_shown_as_it_is():
    for text in ("NC_001416.1", "Größe 3 µm", "大腸菌", "עברית", "<b>%s{0}\\n"):
        assert is_printable(text)
        assert printable(text) == shown(text) == text


def test_a_long_name_is_cut_in_its_middle():
    assert shown("x" * 80) == "x" * 80
    name = "first" + "x" * 20_000_000 + "last"
    assert len(shown(name)) == 80
    assert shown(name).startswith("firstxxx")
    assert shown(name).endswith("xxxlast")
    assert len(shown(name, 300)) == 300
