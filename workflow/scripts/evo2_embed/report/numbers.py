"""Numbers as people read them: no `0 s` for a job that ran, no `-0.01 to -0.01`."""

from evo2_embed.io.text import human_bytes

_MEGABYTE = 1_000_000


def duration(seconds: float) -> str:
    """A time: `under 1 s`, `42 s`, `3 min 20 s`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 1:
        return "under 1 s"
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60} min"


def memory(megabytes: float) -> str:
    """An amount of memory; `-` if it was not measured, as for a job that ended too soon."""
    if not megabytes:
        return "-"
    return "under 1 MB" if megabytes < 1 else human_bytes(megabytes * _MEGABYTE)


def between(values: list[float], digits: int) -> str:
    """The smallest and the largest of some values, with as many digits as tell them apart.

    Parameters
    ----------
    values : list of float
        At least one.
    digits : int
        Digits after the point, if these are enough.
    """
    low, high = min(values), max(values)
    for more in range(digits, digits + 4):
        first, last = _fixed(low, more), _fixed(high, more)
        if first != last:
            return f"{first} to {last}"
    return _fixed(low, digits)


def _fixed(value: float, digits: int) -> str:
    # + 0.0: no -0.00.
    return f"{round(value, digits) + 0.0:.{digits}f}"
