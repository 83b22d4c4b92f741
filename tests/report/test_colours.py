"""Colours of the page: one per name, and legible in both colour schemes."""

import re
from pathlib import Path

import pytest
from evo2_embed.report import colours, html

STYLE = (Path(html.__file__).parent / "page.css").read_text()


def luminance(colour):
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def contrast(one, two):
    dark, light = sorted((luminance(one), luminance(two)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("colour", [*colours.PALETTE, colours.GREY, *colours.by_depth(32)], ids=str)
def test_every_colour_is_seen_on_the_page_in_both_schemes(colour):
    light, dark = re.findall(r"--card: (#\w{6})", STYLE)
    assert min(contrast(colour, light), contrast(colour, dark)) >= 3


def test_a_name_keeps_its_colour_whatever_its_number_of_rows():
    one = colours.colours_of({"tRNA": 3, "background": 900, "CDS": 40})
    two = colours.colours_of({"CDS": 1, "tRNA": 77, "background": 0})
    assert (
        one
        == two
        == {"CDS": colours.PALETTE[0], "tRNA": colours.PALETTE[1]} | {"background": colours.GREY}
    )
    assert colours.colours_of({"CDS": 1, "-": 5}, also=["-"])["-"] == colours.GREY


def test_the_most_frequent_names_have_colours_of_their_own():
    counts = {f"c{number:02}": number for number in range(40)}
    found = colours.colours_of(counts)
    coloured = [name for name, colour in found.items() if colour != colours.GREY]
    assert coloured == [f"c{number}" for number in range(28, 40)]
    assert len({found[name] for name in coloured}) == len(colours.PALETTE)
    assert found["c00"] == colours.GREY
