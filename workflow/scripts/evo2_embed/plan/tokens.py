"""Windows of a genome and the tokens that they run, before its sequence is read.

`guess_tokens` decides on bundles and shards. It depends on nothing but the settings, the sizes of
files and the files of regions and variants, so the same input always gives the same jobs. The other
functions count from the lengths of contigs; `make plan`, `make status` and `max_output_gb` use
them.
"""

from dataclasses import replace

from evo2_embed.chunk.tiling import count_windows
from evo2_embed.genomes.fit import fit_regions
from evo2_embed.genomes.intervals import MOST_BASES
from evo2_embed.genomes.regions import Regions, read_regions, region_bases
from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.genomes.scan import scan_sites
from evo2_embed.genomes.variant_sample import Sites, sample_sites
from evo2_embed.plan.contigs import guess_bases
from evo2_embed.settings.settings import Settings
from evo2_embed.settings.windows import Context, RegionSettings, Windows


def guess_tokens(genome: Genome, settings: Settings) -> float:
    """Tokens of a genome's windows, from the sizes of its files."""
    if genome.has_variants:
        return tally_variants(genome, None, settings, set())["tokens"]
    return _guess_tokens(genome, settings.windows, settings.regions)


def _guess_tokens(genome: Genome, windows: Windows, settings: RegionSettings) -> float:
    if genome.regions and settings.rows == "region":
        return tally_regions(genome, None, windows, settings, set())["tokens"]
    if windows.has_spans and genome.regions:
        return run_regions(read_regions(genome.regions, settings), None, windows)[1]
    bases = region_bases(genome.regions, settings) if genome.regions else guess_bases(genome)
    return bases * windows.n_strands * tokens_of_base(windows)


def tokens_of_base(windows: Windows) -> float:
    """How often a base of a long contig's strand runs through the model: bases of a stretch by the
    bases to the next stretch."""
    size, stride, context = windows.size, windows.stride, windows.context
    span = context.span if windows.has_spans else size
    more = (span - context.min - size) // stride  # windows of a stretch after its first
    return (context.min + size + more * stride) / ((more + 1) * stride)


def tally(lengths: list[tuple[float, float]], windows: Windows, bins: set[int]) -> dict:
    """Windows on contigs of these lengths, on one strand.

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
        number, start = count_windows(length, size, stride, windows.last)
        for bases, many in ((size, number - 1), (min(size, length - start), 1)):
            if bases >= least:
                result["windows"] += many * count
                result["bases"] += many * bases * count
                for width in bins:
                    result["rows"][width] += many * -(-bases // width) * count
    return result


def tally_regions(
    genome: Genome,
    lengths: dict[str, int] | None,
    windows: Windows,
    settings: RegionSettings,
    bins: set[int],
) -> dict:
    """Windows that are whole regions of a genome.

    Parameters
    ----------
    genome : Genome
    lengths : dict, optional
        Bases by contig. Without it, each region on `-` has all of its flank.
    windows : Windows
    settings : RegionSettings
    bins : set of int
        Bin sizes to count rows for.

    Returns
    -------
    dict
        `windows`, `tokens` that run for them (without BOS), `rows` by bin size, and the number of
        `short` regions, which are left out.
    """
    # numpy is imported only where a run has regions.
    from evo2_embed.chunk.regions import count_tokens

    result = {"windows": 0, "tokens": 0, "short": 0, "rows": dict.fromkeys(bins, 0)}
    regions = read_regions(genome.regions, settings)
    if lengths:
        regions = fit_regions(regions, lengths, genome, settings)
    for contig, mine in regions.items():
        length = (lengths or {}).get(contig, 2 * MOST_BASES)
        circular = genome.is_circular(contig)
        bases, tokens = count_tokens(length, windows, mine, settings.flank, circular)
        result["windows"] += len(bases)
        result["tokens"] += int(tokens.sum())
        result["short"] += int((mine.length < windows.min_length).sum())
        for width in bins:
            result["rows"][width] += int((-(-bases // width)).sum())
    return result


def tally_variants(
    genome: Genome, lengths: dict[str, int] | None, settings: Settings, bins: set[int]
) -> dict:
    """Windows of the variants of a genome, from the first bytes of its file of variants, or from
    the regions of a scan.

    Parameters
    ----------
    genome : Genome
    lengths : dict, optional
        Bases by contig. Without it, no window is cut off at the right end of a contig.
    settings : Settings
        Complete.
    bins : set of int
        Bin sizes to count rows for.

    Returns
    -------
    dict
        `windows`, `stretches` that run, `tokens` in them (without BOS), `covered` bases and fork
        `points` (`variants.Counts`), `rows` by bin size, and `exact`: whether the file was read to
        its end.

    Raises
    ------
    InputError
        If the file cannot be read.
    """
    # numpy is imported only where a run has variants.
    from evo2_embed.chunk.variants import count_pairs, plan_variants

    sites, factor = sites_of(genome, lengths, settings)
    counts = [0, 0, 0, 0, 0]
    rows = dict.fromkeys(bins, 0)
    for contig, mine in sites.items():
        length = (lengths or {}).get(contig, 2 * MOST_BASES)
        inside = mine.within(length)
        pairs, _ = plan_variants(length, inside, settings.windows, settings.variants)
        for pair in pairs:
            counts = [sum(each) for each in zip(counts, count_pairs([pair]), strict=True)]
            for width in bins:
                rows[width] += 2 * int((-(-pair[1]["length"] // width)).sum())
    windows, stretches, tokens, covered, points = (round(count * factor) for count in counts)
    return {
        "windows": windows,
        "stretches": stretches,
        "tokens": tokens,
        "covered": covered,
        "points": points,
        "rows": {width: round(number * factor) for width, number in rows.items()},
        "exact": factor == 1,
    }


def sites_of(
    genome: Genome, lengths: dict[str, int] | None, settings: Settings
) -> tuple[dict[str, Sites], float]:
    """The variants of a genome, and how many times as many it has: 1 unless they are a sample."""
    if genome.scan:
        return scan_sites(genome, lengths, settings), 1
    return sample_sites(genome.variants)


def shared_tokens(
    genome: Genome, lengths: dict[str, int] | None, settings: Settings
) -> dict[str, int]:
    """Tokens of a genome's variants with each `variants.share`. If the configuration has no
    context, `contig` is counted with spans of four windows."""
    tokens = {}
    for share in ("window", "contig", "none"):
        windows, section = settings.windows, replace(settings.variants, share=share)
        if share == "contig" and windows.context.span == "size":
            windows = replace(windows, context=Context(span=4 * section.size))
        chosen = replace(settings, windows=windows, variants=section)
        tokens[share] = tally_variants(genome, lengths, chosen, set())["tokens"]
    return tokens


def run_contigs(lengths: list[tuple[float, float]], windows: Windows) -> tuple[float, float]:
    """Number of stretches on whole contigs, and their bases.

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
    regions: dict[str, Regions], lengths: dict[str, int] | None, windows: Windows
) -> tuple[int, int]:
    """Number of stretches of regions, and their bases.

    Parameters
    ----------
    regions : dict
        By contig.
    lengths : dict, optional
        Bases by contig. Without it, contigs end with their last region: the context of `-` windows
        beyond it is not counted.
    windows : Windows
    """
    runs = []
    for contig, mine in regions.items():
        end = int(mine.end.max())
        runs.append(_run(max(end, (lengths or {}).get(contig, 0)), windows, mine))
    return sum(stretches for stretches, _ in runs), sum(bases for _, bases in runs)


def _run(length: int, windows: Windows, regions: Regions | None) -> tuple[int, int]:
    # These modules import numpy, which planning needs for spans only.
    from evo2_embed.chunk.stretches import count_bases
    from evo2_embed.chunk.windows import plan_windows

    plan, _ = plan_windows(length, windows, regions)
    bases = count_bases(plan["stretch"], plan["context"])
    return int((bases > 0).sum()), int(bases.sum())
