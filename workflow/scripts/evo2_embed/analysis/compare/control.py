"""Windows with their bases shuffled: what a layer makes of a sequence that is none."""

import numpy as np
import pyarrow as pa

from evo2_embed.dataset.sampling import evenly
from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.genomes.sequences import Sequences
from evo2_embed.io.digests import settings_digest
from evo2_embed.io.tables import CHUNKS, open_table, table_metadata
from evo2_embed.pack.metadata import PackMetadata
from evo2_embed.pack.write import PackSource, write_packs

SEED = 0


class ShuffledSequences(Sequences):
    """Tokens of windows in random order: the same letters, nothing of their order."""

    def copy_tokens(self, genome, contig, strand, start, end, windows, out: np.ndarray) -> None:
        """As `Sequences.copy_tokens` for stretches of one window, then shuffled; the order depends
        on the letters alone."""
        super().copy_tokens(genome, contig, strand, start, end, windows, out)
        np.random.default_rng([SEED, int(windows[0, 2])]).shuffle(out)


def pack_shuffled(
    bundles: list[tuple[str, list[Genome]]],
    number: int,
    settings: dict,
    indexes: str,
    output: str,
) -> PackMetadata:
    """Write a pack file of shuffled windows, evenly spaced over bundles; each is a stretch.

    Parameters
    ----------
    bundles : list of (str, list of Genome)
        Chunk tables, and the genomes of each.
    number : int
        Windows to take; from every bundle as many, as far as it has them.
    settings : dict
        `packing` (the section of the configuration) and `code`.
    indexes : str
        Folder that keeps FASTA indexes (`fasta.index_folder`).
    output : str
        Path of the pack file (`tables.PACKS`); `chunk` counts its segments.
    """
    share = -(-number // len(bundles))
    digests, sources, first = [], [], 0
    for path, genomes in bundles:
        file = open_table(path, CHUNKS)
        chunked = table_metadata(file)
        digests.append(chunked["digest"])
        table = _alone(file.read().take(evenly(file.metadata.num_rows, share)), first)
        lower_case = chunked["settings"]["windows"]["lower_case"]
        sources.append(PackSource(path, genomes, table, lower_case))
        first += len(table)
    origin = {
        "settings": settings,
        "digest": settings_digest([settings, number, digests]),
        "chunks_digest": settings_digest(digests),
    }
    return write_packs(output, sources, origin, indexes, sequences=ShuffledSequences)


def _alone(rows: pa.Table, first: int) -> pa.Table:
    """Chunks with numbers from `first` on, each a stretch of its own."""
    numbers = np.arange(first, first + len(rows))
    changed = {"chunk": numbers, "stretch": numbers, "context": rows["length"].to_numpy()}
    for name, values in changed.items():
        field = CHUNKS.field(name)
        rows = rows.set_column(CHUNKS.get_field_index(name), field, pa.array(values, field.type))
    return rows
