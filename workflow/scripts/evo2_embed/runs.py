"""What the windows of a genome run through the model, counted before anything is read."""

import numpy as np

from evo2_embed.sheet import Region
from evo2_embed.stretches import count_bases
from evo2_embed.windows import plan_windows


def run_contigs(lengths: list[tuple[float, float]], windows: dict) -> tuple[float, float]:
    """Stretches of whole contigs, and the bases that they run.

    Parameters
    ----------
    lengths : list of (float, float)
        Bases of a contig, and how many there are.
    windows : dict
        The section of the settings.
    """
    total = np.zeros(2)
    for length, count in lengths:
        if round(length) >= windows["min_length"]:
            total += count * np.array(_run(round(length), windows, None))
    return tuple(total.tolist())


def run_regions(
    regions: dict[str, list[Region]], lengths: dict[str, int] | None, windows: dict
) -> tuple[int, int]:
    """Stretches of regions, and the bases that they run.

    Parameters
    ----------
    regions : dict
        By contig.
    lengths : dict, optional
        Of the contigs. Without them a contig is taken to end where its last region does, so that
        what stretches of `-` run before it is not counted.
    windows : dict
        The section of the settings.
    """
    runs = []
    for contig, mine in regions.items():
        end = max(region.end for region in mine)
        runs.append(_run(max(end, (lengths or {}).get(contig, 0)), windows, mine))
    return sum(stretches for stretches, _ in runs), sum(bases for _, bases in runs)


def _run(length: int, windows: dict, regions: list[Region] | None) -> tuple[int, int]:
    plan, _ = plan_windows(length, windows, regions)
    bases = count_bases(plan["stretch"], plan["context"])
    return int(np.count_nonzero(bases)), int(bases.sum())
