"""Colours of names, chosen once for the whole page.

Every colour has a contrast of at least 3:1 with the page in both colour schemes.
"""

from collections.abc import Iterable, Mapping

from evo2_embed.analysis.probes.formats import BACKGROUND

PALETTE = (
    "#12897e",
    "#d4691e",
    "#4f74d9",
    "#c9426b",
    "#87850f",
    "#9a63c7",
    "#2a8fc4",
    "#b0604a",
    "#d45cb0",
    "#3f9c45",
    "#a67c1a",
    "#6a7fb0",
)
GREY = "#7d8885"  # background, no label, and names without a colour of their own


def colours_of(counts: Mapping[str, int], also: Iterable[str] = ()) -> dict[str, str]:
    """A colour for each name; the same names always have the same colours.

    The most frequent names have colours of their own, as many as there are colours. They get them
    in alphabetical order, so that colours do not depend on how often a name occurs. All other
    names, and `background`, are grey.

    Parameters
    ----------
    counts : mapping of str to int
        How often each name occurs on the whole page.
    also : iterable of str
        Names that are grey, too.

    Returns
    -------
    dict of str to str
        By name, a colour such as `#12897e`. Names are in alphabetical order, the grey ones last.
    """
    grey = {BACKGROUND, *also}
    names = sorted((name for name in counts if name not in grey), key=lambda n: (-counts[n], n))
    coloured = dict(zip(sorted(names[: len(PALETTE)]), PALETTE, strict=False))
    rest = sorted(name for name in counts if name not in coloured)
    return coloured | dict.fromkeys(rest, GREY)


def by_depth(number: int) -> list[str]:
    """Colours of layers: distinct for a few layers, else from dark blue to orange by depth."""
    if number <= len(PALETTE):
        return list(PALETTE[:number])
    first, last = (90, 100, 215), (215, 105, 30)
    shares = [index / (number - 1) for index in range(number)]
    return [
        "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in zip(first, last, strict=True))
        for share in shares
    ]
