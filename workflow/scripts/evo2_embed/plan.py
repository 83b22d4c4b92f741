"""Bundles and shards, known before anything runs: from the sheet and the sizes of its files.

A *bundle* is one large genome, or consecutive small genomes of the sheet; it has one chunk table
and is named after its first genome. A *shard* is the work of one embedding job.
"""

import math
from dataclasses import dataclass
from pathlib import Path

from evo2_embed.sheet import Genome

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


def plan_bundles(genomes: list[Genome], windows: dict, sharding: dict) -> list[Bundle]:
    """Put the genomes of a sheet into bundles, and say how many shards each bundle has.

    A genome of at least `shard_tokens` (estimated) stands alone; smaller ones that follow one
    another share a bundle of at most `shard_tokens`. A genome added at the end of the sheet thus
    changes no bundle but the last. With an integer `shards` every genome stands alone, with that
    many.
    """
    if sharding["shards"] != "auto":
        return [Bundle(genome.name, (genome,), sharding["shards"]) for genome in genomes]
    bundles: list[Bundle] = []
    small: list[Genome] = []
    small_tokens = 0.0
    budget = sharding["shard_tokens"]
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


def estimate_tokens(genome: Genome, windows: dict) -> float:
    """Tokens that a genome's windows will have, guessed from the size of its files."""
    strands = 2 if windows["strands"] == "both" else 1
    return _estimate_bases(genome) * strands * windows["size"] / windows["stride"]


def _estimate_bases(genome: Genome) -> float:
    if genome.regions:
        return _bed_bases(genome.regions)
    path = Path(genome.fasta)
    size = path.stat().st_size
    return size * BASES_PER_COMPRESSED_BYTE if path.suffix in (".gz", ".bgz") else float(size)


def _bed_bases(path: str) -> int:
    # A line that is no BED is reported where the file is read for good, with its number.
    bases = 0
    with open(path, encoding="utf-8", errors="replace") as handle:
        for line in handle:
            cells = line.split()
            if len(cells) > 2 and cells[1].isdigit() and cells[2].isdigit():
                bases += int(cells[2]) - int(cells[1])
    return max(bases, 0)
