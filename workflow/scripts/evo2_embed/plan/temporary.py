"""Temporary files of a run: copies of FASTA files that cannot be read at random."""

from pathlib import Path

from evo2_embed.genomes.lines import is_rewritten
from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.io.remote import address_of
from evo2_embed.plan.bundles import Bundle
from evo2_embed.plan.contigs import guess_bases, sample_size, unpacked_bytes


def temporary_bytes(bundles: dict[str, Bundle]) -> int:
    """Estimated bytes in TMPDIR of the job that needs most: copies of all genomes of a bundle."""
    sample = sample_size(sum(len(bundle.genomes) for bundle in bundles.values()))
    needs = (
        sum(_copy_bytes(genome, sample) for genome in bundle.genomes) for bundle in bundles.values()
    )
    return round(max(needs, default=0))


def _copy_bytes(genome: Genome, sample: int) -> float:
    if address_of(genome.fasta) and not Path(genome.fasta).exists():
        return guess_bases(genome) if genome.fasta.endswith(".gz") else 0
    if not is_rewritten(genome.fasta):
        return 0
    return unpacked_bytes(Path(genome.fasta), sample)
