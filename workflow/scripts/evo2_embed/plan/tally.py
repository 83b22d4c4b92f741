"""What the windows of a genome run through the model, counted before anything is read."""

from evo2_embed.genomes.regions import Region
from evo2_embed.settings.sections import Windows


def tally(lengths: list[tuple[float, float]], windows: Windows, bins: set[int]) -> dict:
    """Windows over contigs of these lengths, on one strand.

    Parameters
    ----------
    lengths : list of (float, float)
        Bases of a contig, or a region, and how many there are.
    windows : Windows
    bins : set of int
        Bin sizes to count rows for.

    Returns
    -------
    dict
        `windows`, `bases` in them, and `rows` by bin size.
    """
    size, stride, least = windows.size, windows.stride, windows.min_length
    result = {"windows": 0.0, "bases": 0.0, "rows": dict.fromkeys(bins, 0.0)}
    for length, count in lengths:
        length = round(length)
        if length < least:
            continue
        # As windows.tile_windows does it: all but the last are full.
        number = min(1 + max(0, -(-(length - size) // stride)), -(-length // stride))
        last = min(size, length - (number - 1) * stride)
        if windows.last == "shift":
            last = min(size, length)
        for bases, many in ((size, number - 1), (last, 1)):
            if bases >= least:
                result["windows"] += many * count
                result["bases"] += many * bases * count
                for width in bins:
                    result["rows"][width] += many * -(-bases // width) * count
    return result


def run_contigs(lengths: list[tuple[float, float]], windows: Windows) -> tuple[float, float]:
    """Stretches of whole contigs, and the bases that they run.

    Parameters
    ----------
    lengths : list of (float, float)
        Bases of a contig, and how many there are.
    windows : Windows
    """
    runs = [
        (count, *_run(round(length), windows, None))
        for length, count in lengths
        if round(length) >= windows.min_length
    ]
    return sum(n * stretches for n, stretches, _ in runs), sum(n * bases for n, _, bases in runs)


def run_regions(
    regions: dict[str, list[Region]], lengths: dict[str, int] | None, windows: Windows
) -> tuple[int, int]:
    """Stretches of regions, and the bases that they run.

    Parameters
    ----------
    regions : dict
        By contig.
    lengths : dict, optional
        Of the contigs. Without them a contig is taken to end where its last region does, so that
        what stretches of `-` run before it is not counted.
    windows : Windows
    """
    runs = []
    for contig, mine in regions.items():
        end = max(region.end for region in mine)
        runs.append(_run(max(end, (lengths or {}).get(contig, 0)), windows, mine))
    return sum(stretches for stretches, _ in runs), sum(bases for _, bases in runs)


def _run(length: int, windows: Windows, regions: list[Region] | None) -> tuple[int, int]:
    # They import numpy, which a run with no spans is planned without.
    from evo2_embed.chunk.stretches import count_bases
    from evo2_embed.chunk.windows import plan_windows

    plan, _ = plan_windows(length, windows, regions)
    bases = count_bases(plan["stretch"], plan["context"])
    return int((bases > 0).sum()), int(bases.sum())
