"""Names that are not there, and those that are nearly the same."""

import difflib

import polars as pl

from evo2_embed.io.text import shown, some_of

_MOST = 5000  # names that are compared letter by letter


def not_there(what: str, name: str, names: list[str]) -> str:
    """A message for a name that is not there: names that are nearly the same, else some of those
    that there are.

    Parameters
    ----------
    what : str
        What is not there, such as `no layer`.
    name : str
    names : list of str
        What is there.
    """
    if not names:
        return f"{what} '{shown(name)}': there are none"
    close = near(name, names)
    if close:
        found = " or ".join(f"'{shown(each)}'" for each in close)
        return f"{what} '{shown(name)}'; did you mean {found}?"
    return f"{what} '{shown(name)}'; there are: {some_of(names)}"


def near(name: str, names: list[str]) -> list[str]:
    """At most three names that are nearly the same: in other case, a part of it, or with a few
    other letters. Fast for millions of names."""
    known = pl.Series("name", names).unique(maintain_order=True)
    lower = known.str.to_lowercase()
    asked = name.lower()
    alike = known.filter(lower == asked)
    holds = known.filter(lower.str.contains(asked, literal=True)) if len(asked) > 1 else known[:0]
    size = lower.str.len_chars().cast(pl.Int64)
    similar = known.filter((size - len(asked)).abs() <= max(2, len(asked) // 3)).head(_MOST)
    by_lower = {each.lower(): each for each in reversed(similar.to_list())}
    letters = [by_lower[each] for each in difflib.get_close_matches(asked, by_lower, 3, 0.7)]
    return list(dict.fromkeys([*alike, *letters, *holds.head(3)]))[:3]
