"""The number of windows on a contig. Light: the plan of a run asks for it, without numpy."""


def count_windows(length: int, size: int, stride: int, last: str) -> tuple[int, int]:
    """Number of windows on a contig, or on a region of one, and the start of the last window.

    Windows start at 0, `stride`, 2 x `stride` and so on. The first window that reaches the end of
    the contig is the last one, so no window lies inside the one before it.

    Parameters
    ----------
    length : int
        Bases of the contig.
    size, stride : int
        Bases of a window, and from the start of a window to the start of the next.
    last : {"keep", "shift"}
        keep: the last window is shorter if the contig ends in it. shift: it is moved back to full
        size. A contig shorter than `size` gives one short window either way.
    """
    if length <= 0:
        return 0, 0
    # With gaps between windows, the window that would reach the end may start past it.
    number = min(1 + max(0, -(-(length - size) // stride)), -(-length // stride))
    start = (number - 1) * stride
    return number, min(start, max(0, length - size)) if last == "shift" else start
