"""What the genomes of a bundle share while they are chunked."""

from collections import Counter
from collections.abc import Container
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from evo2_embed.chunk.stretches import Numbering
from evo2_embed.genomes.blocks import Buffers
from evo2_embed.genomes.index import IndexedFasta
from evo2_embed.settings.windows import RegionSettings, VariantSettings, Windows

# What a policy of the configuration asks to skip.
AMBIGUOUS = "skipped: ambiguous share above max_share"
MISMATCH = "skipped: reference allele is not in the FASTA file"
ASKED = (AMBIGUOUS, MISMATCH)


@dataclass(frozen=True)
class Work:
    """Settings, the folder of FASTA indexes, threads, memory, and numbers of stretches."""

    windows: Windows
    regions: RegionSettings
    variants: VariantSettings
    indexes: str
    pool: ThreadPoolExecutor
    buffers: Buffers
    numbering: Numbering

    def long_enough(
        self, lengths: dict[str, int], wanted: Container[str] | None, what: str, counts: Counter
    ) -> dict[str, int]:
        """Bases of the contigs that are not too short.

        Parameters
        ----------
        lengths : dict of str to int
            Bases of all contigs.
        wanted : container of str, optional
            The contigs to keep, if not all: those with regions or variants.
        what : str
            What the others do not have.
        counts : Counter
            Is added to: contigs, bases, and how many are left out.
        """
        mine = {name: n for name, n in lengths.items() if wanted is None or name in wanted}
        kept = {name: n for name, n in mine.items() if n >= self.windows.min_length}
        counts["contigs"] += len(mine)
        counts["bases"] += sum(mine.values())
        if without := len(lengths) - len(mine):
            counts[f"contigs without {what}"] += without
        if short := len(mine) - len(kept):
            counts["skipped: contig shorter than min_length"] += short
        return kept


def lengths_of(fasta: IndexedFasta) -> dict[str, int]:
    """Bases of each record by name."""
    return dict(zip(fasta.index, fasta.index.lengths.tolist(), strict=True))
