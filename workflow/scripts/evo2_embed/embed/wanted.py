"""Which segments of a shard have to run, and which states they have to leave."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Wanted:
    """The segments of a pack that have to run.

    Attributes
    ----------
    segments : ndarray of bool, (S,)
    goes_on : ndarray of bool, (S,)
        Whether tokens of the stretch after the segment have to run, too.
    forks : ndarray of int64, (F, 3)
        As of `engine.pack.Pack`, with those forks that have to run.
    """

    segments: np.ndarray
    goes_on: np.ndarray
    forks: np.ndarray


def wanted_segments(packs: dict[int, dict[str, np.ndarray]], done: set[int]) -> dict[int, Wanted]:
    """The packs that have to run, and which of their segments, if some packs' rows are stored.

    A segment needs the earlier segments of its stretch, and a fork those of its parent up to the
    fork point. So a stretch with a segment in a pack that is not stored restarts from its first
    base, and its parent from its own.

    Parameters
    ----------
    packs : dict of int to dict
        The segments of all packs, in order (`read.read_pack_segments`).
    done : set of int
        Packs whose rows are stored.
    """
    until: dict[int, int] = {}  # by stretch, its tokens up to the last one that has to run
    points: dict[int, dict[int, int]] = {}  # by parent and fork point, forks that have to run
    found = {}
    for number in reversed(packs):
        pack = packs[number]
        ends = (pack["offset"] + np.diff(pack["cu_seqlens"])).tolist()
        columns = (pack[name].tolist() for name in ("stretch", "offset", "parent"))
        segments, goes_on, forks = [], [], []
        for row, (stretch, offset, parent, end) in enumerate(zip(*columns, ends, strict=True)):
            segments.append(number not in done or until.get(stretch, 0) > offset)
            goes_on.append(until.get(stretch, 0) > end)
            if not segments[-1]:
                continue
            until[stretch] = max(until.get(stretch, 0), end)
            if parent >= 0:
                until[parent] = max(until.get(parent, 0), offset)
                mine = points.setdefault(parent, {})
                mine[offset] = mine.get(offset, 0) + 1
            mine = points.get(stretch, {})
            some = sorted(point for point in mine if offset < point <= end)
            forks += [(row, point, mine.pop(point)) for point in some]
        if any(segments):
            of_pack = np.array(forks, np.int64).reshape(-1, 3)
            found[number] = Wanted(np.array(segments), np.array(goes_on), of_pack)
    return dict(reversed(found.items()))
