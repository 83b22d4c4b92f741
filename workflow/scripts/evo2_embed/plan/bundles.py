"""Bundles and shards, from the sheet and the sizes of its files, before anything runs.

A *bundle* is one large genome, or consecutive small genomes of the sheet. It has one chunk table
and the name of its first genome. A *shard* is the work of one embedding job.
"""

import math
from dataclasses import dataclass

from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.io.errors import InputError
from evo2_embed.plan.tokens import guess_tokens
from evo2_embed.settings.sections import Settings

MOST_SHARDS = 99_999  # the name of a shard has five digits


@dataclass(frozen=True)
class Bundle:
    """Genomes that share a chunk table, and the number of their shards."""

    name: str
    genomes: tuple[Genome, ...]
    n_shards: int

    @property
    def has_regions(self) -> bool:
        """Whether a genome has a file of regions."""
        return any(genome.regions for genome in self.genomes)

    @property
    def has_variants(self) -> bool:
        """Whether a genome has variants, in a file or of a scan."""
        return any(genome.has_variants for genome in self.genomes)

    @property
    def shards(self) -> list[str]:
        """Names of the shards: five digits, from 00000."""
        return [f"{shard:05d}" for shard in range(self.n_shards)]


def plan_bundles(genomes: list[Genome], settings: Settings) -> list[Bundle]:
    """Put the genomes of a sheet into bundles, each with its number of shards.

    A genome of at least `shard_tokens` (estimated) has its own bundle. Consecutive smaller genomes
    share a bundle of at most `shard_tokens`, so a genome added at the end of the sheet changes only
    the last bundle. With an integer `shards`, every genome has its own bundle with that number of
    shards.

    Raises
    ------
    InputError
        If there are more shards than a run can have.
    """
    bundles, sharding = _bundles(genomes, settings), settings.sharding
    number = sum(bundle.n_shards for bundle in bundles)
    if number <= MOST_SHARDS:
        return bundles
    if sharding.shards != "auto":
        raise InputError(
            f"sharding.shards: {sharding.shards:,} for each of {len(genomes):,} genomes are "
            f"{number:,} shards (allowed: at most {MOST_SHARDS:,} in a run; set auto)"
        )
    largest = max(bundles, key=lambda bundle: bundle.n_shards)
    raise InputError(
        f"sharding.shard_tokens: {sharding.shard_tokens:,} gives {number:,} shards, of which "
        f"{largest.n_shards:,} for genome '{largest.name}' (allowed: at most {MOST_SHARDS:,} in a "
        "run; set a larger number)"
    )


def _bundles(genomes: list[Genome], settings: Settings) -> list[Bundle]:
    sharding = settings.sharding
    if sharding.shards != "auto":
        return [Bundle(genome.name, (genome,), sharding.shards) for genome in genomes]
    bundles: list[Bundle] = []
    small: list[Genome] = []
    small_tokens = 0.0
    budget = sharding.shard_tokens
    for genome in genomes:
        tokens = guess_tokens(genome, settings)
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
