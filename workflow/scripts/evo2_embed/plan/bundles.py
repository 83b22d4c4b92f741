"""Bundles and shards, from the sheet and the sizes of its files, before anything runs.

A *bundle* is one large genome, or consecutive small genomes of the sheet. It has one chunk table
and the name of its first genome. A *shard* is the work of one embedding job.
"""

import math
from dataclasses import dataclass

from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.io.errors import InputError
from evo2_embed.plan.tokens import guess_tokens
from evo2_embed.settings.settings import Settings

MOST_SHARDS = 99_999  # the name of a shard has five digits


@dataclass(frozen=True)
class Bundle:
    """Genomes that share a chunk table, and the number of their shards. `left_out`: genomes of the
    bundle that cannot be used."""

    name: str
    genomes: tuple[Genome, ...]
    n_shards: int
    left_out: tuple[Genome, ...] = ()

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


def plan_bundles(
    genomes: list[Genome], settings: Settings, earlier: dict[str, str] | None = None
) -> list[Bundle]:
    """Put the genomes of a sheet into bundles, each with its number of shards.

    A genome of at least `shard_tokens` (estimated) has its own bundle. Consecutive smaller genomes
    share a bundle of at most `shard_tokens`. With an integer `shards`, every genome has its own
    bundle with that number of shards.

    Genomes of different bundles of an earlier run do not come to share one. So a genome that is
    added, removed, repaired or replaced changes its own bundle only; one that is added belongs to
    the bundle before it.

    Parameters
    ----------
    genomes : list of Genome
        Those with a `fault` count no tokens.
    settings : Settings
    earlier : dict of str to str, optional
        Bundles of the earlier run, by genome.

    Raises
    ------
    InputError
        If there are more shards than a run can have.
    """
    groups, sharding = _groups(genomes, earlier or {}), settings.sharding
    bundles = [bundle for group in groups for bundle in _bundles(group, settings)]
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


def _groups(genomes: list[Genome], earlier: dict[str, str]) -> list[list[Genome]]:
    """Consecutive genomes of the same bundle of the earlier run. New ones go to those before them;
    the first of the sheet are a group of their own."""
    groups: list[list[Genome]] = [[]]
    last = None
    for genome in genomes:
        mine = earlier.get(genome.name)
        if mine not in (None, last):
            groups.append([])
            last = mine
        groups[-1].append(genome)
    return groups


def _bundle(genomes: list[Genome], n_shards: int) -> Bundle:
    usable = tuple(genome for genome in genomes if not genome.fault)
    bad = tuple(genome for genome in genomes if genome.fault)
    return Bundle(genomes[0].name, usable, n_shards, bad)


def _bundles(genomes: list[Genome], settings: Settings) -> list[Bundle]:
    sharding = settings.sharding
    if sharding.shards != "auto":
        return [_bundle([genome], sharding.shards) for genome in genomes]
    bundles: list[Bundle] = []
    small: list[Genome] = []
    small_tokens = 0.0
    budget = sharding.shard_tokens
    for genome in genomes:
        tokens = 0.0 if genome.fault else guess_tokens(genome, settings)
        if small and small_tokens + tokens > budget:
            bundles.append(_bundle(small, 1))
            small, small_tokens = [], 0.0
        if tokens >= budget:
            bundles.append(_bundle([genome], math.ceil(tokens / budget)))
        else:
            small.append(genome)
            small_tokens += tokens
    if small:
        bundles.append(_bundle(small, 1))
    return bundles
