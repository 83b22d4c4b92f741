"""Bundles and shards, known before anything runs: from the sheet and the sizes of its files.

A *bundle* is one large genome, or consecutive small genomes of the sheet; it has one chunk table
and is named after its first genome. A *shard* is the work of one embedding job.
"""

import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from evo2_embed.genomes.regions import Region, parse_bed
from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.io.errors import InputError
from evo2_embed.plan.tally import run_regions
from evo2_embed.settings.sections import Sharding, Windows

# Bases in a byte of a compressed FASTA: 3.1 to 3.4 in the genomes this was tried on. Only the
# number of shards depends on it.
BASES_PER_COMPRESSED_BYTE = 3.3


@dataclass(frozen=True)
class Bundle:
    """Genomes that share a chunk table, and the number of shards that their chunks go to."""

    name: str
    genomes: tuple[Genome, ...]
    n_shards: int

    @property
    def shards(self) -> list[str]:
        """Names of the shards: five digits, from 00000."""
        return [f"{shard:05d}" for shard in range(self.n_shards)]


def plan_bundles(genomes: list[Genome], windows: Windows, sharding: Sharding) -> list[Bundle]:
    """Put the genomes of a sheet into bundles, and say how many shards each bundle has.

    A genome of at least `shard_tokens` (estimated) stands alone; smaller ones that follow one
    another share a bundle of at most `shard_tokens`. A genome added at the end of the sheet thus
    changes no bundle but the last. With an integer `shards` every genome stands alone, with that
    many.
    """
    if sharding.shards != "auto":
        return [Bundle(genome.name, (genome,), sharding.shards) for genome in genomes]
    bundles: list[Bundle] = []
    small: list[Genome] = []
    small_tokens = 0.0
    budget = sharding.shard_tokens
    for genome in genomes:
        tokens = estimate_tokens(genome, windows)
        if small and small_tokens + tokens > budget:
            bundles.append(Bundle(small[0].name, tuple(small), 1))
            small, small_tokens = [], 0.0
        if tokens >= budget:
            bundles.append(Bundle(genome.name, (genome,), math.ceil(tokens / budget)))
        else:
            small.append(genome)
            small_tokens += tokens
    if small:
        bundles.append(Bundle(small[0].name, tuple(small), 1))
    return bundles


def estimate_tokens(genome: Genome, windows: Windows) -> float:
    """Tokens that a genome's windows will run, guessed from the size of its files."""
    strands = 2 if windows.strands == "both" else 1
    if windows.has_spans and genome.regions:
        return _region_tokens(genome.regions, windows)
    return _estimate_bases(genome) * strands * _tokens_of_base(windows)


def _tokens_of_base(windows: Windows) -> float:
    """How often a base of a long contig runs: what its stretches run, by how far apart they are."""
    size, stride, context = windows.size, windows.stride, windows.context
    span = context.span if windows.has_spans else size
    more = (span - context.min - size) // stride  # windows of a stretch beside its first
    return (context.min + size + more * stride) / ((more + 1) * stride)


def _region_tokens(path: str, windows: Windows) -> int:
    """Tokens of the stretches of regions; their contigs are taken to end with them."""
    regions: dict[str, list[Region]] = {}
    for line in _bed_lines(path):
        with suppress(InputError):
            parsed = parse_bed(line, 0)
            if parsed:
                regions.setdefault(parsed[0], []).append(parsed[1])
    return run_regions(regions, None, windows)[1]


def _estimate_bases(genome: Genome) -> float:
    if genome.regions:
        return _bed_bases(genome.regions)
    path = Path(genome.fasta)
    size = path.stat().st_size
    return size * BASES_PER_COMPRESSED_BYTE if path.suffix in (".gz", ".bgz") else float(size)


def _bed_bases(path: str) -> int:
    bases = 0
    for line in _bed_lines(path):
        cells = line.split()
        if len(cells) > 2 and cells[1].isdigit() and cells[2].isdigit():
            bases += int(cells[2]) - int(cells[1])
    return max(bases, 0)


def _bed_lines(path: str) -> Iterator[str]:
    """Lines of a BED file; one that is none is reported where the file is read for good."""
    with open(path, encoding="utf-8", errors="replace") as handle:
        yield from handle
