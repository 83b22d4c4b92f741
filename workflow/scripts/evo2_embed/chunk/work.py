"""What the genomes of a bundle share while they are chunked."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pyfaidx

from evo2_embed.chunk.stretches import Numbering
from evo2_embed.genomes.blocks import Buffers
from evo2_embed.settings.sections import RegionSettings, VariantSettings, Windows


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

    def skips(self, length: int, counts: Counter) -> bool:
        """Whether a contig with this many bases is too short. It is counted."""
        counts["contigs"] += 1
        counts["bases"] += length
        if length < self.windows.min_length:
            counts["skipped: contig shorter than min_length"] += 1
            return True
        return False


def lengths_of(fasta: pyfaidx.Fasta) -> dict[str, int]:
    """Bases of each record by name."""
    return {contig: record.rlen for contig, record in fasta.faidx.index.items()}
