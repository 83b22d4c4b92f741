"""Windows with shuffled bases: a control with the composition of real windows, but no biology."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evo2_embed.dataset.sampling import evenly
from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.genomes.sequences import Sequences
from evo2_embed.io.digests import settings_digest
from evo2_embed.io.tables import CHUNKS, open_table, table_metadata
from evo2_embed.pack.metadata import PackMetadata
from evo2_embed.pack.write import PackSource, write_packs

SEED = 0


class ShuffledSequences(Sequences):
    """Sequences that give the tokens of a window in random order."""

    def copy_tokens(self, genome, contig, strand, intervals, windows, *rest) -> None:
        """`Sequences.copy_tokens` for a stretch of one window, then shuffled. The order depends on
        the window's checksum alone."""
        super().copy_tokens(genome, contig, strand, intervals, windows, *rest)
        np.random.default_rng([SEED, int(windows[0, 2])]).shuffle(rest[0])


def pack_shuffled(
    bundles: list[tuple[str, list[Genome]]],
    number: int,
    settings: dict,
    indexes: str,
    output: str,
) -> PackMetadata:
    """Write a pack file of shuffled windows, evenly spaced in each bundle; each is a stretch.

    Parameters
    ----------
    bundles : list of (str, list of Genome)
        Chunk table and genomes of each bundle.
    number : int
        Number of windows, the same from every bundle; fewer if a bundle has fewer.
    settings : dict
        `packing` (the section of the configuration) and `code`.
    indexes : str
        Folder that keeps FASTA indexes (`fasta.index_folder`).
    output : str
        Path of the pack file (`tables.PACKS`); its column `chunk` counts the windows.
    """
    share = -(-number // len(bundles))
    digests, sources, first = [], [], 0
    for path, genomes in bundles:
        file = open_table(path, CHUNKS)
        chunked = table_metadata(file)
        digests.append(chunked["digest"])
        rows = _references(file.read())
        table = _alone(rows.take(evenly(len(rows), share)), first)
        lower_case = chunked["settings"]["windows"]["lower_case"]
        sources.append(PackSource(path, genomes, table, lower_case))
        first += len(table)
    origin = {
        "settings": settings,
        "digest": settings_digest([settings, number, digests]),
        "chunks_digest": settings_digest(digests),
    }
    return write_packs(output, sources, origin, indexes, sequences=ShuffledSequences)


def _references(rows: pa.Table) -> pa.Table:
    """The chunks without those of alternate alleles, which are not in the FASTA file. Those of
    reference alleles are windows like others."""
    if rows["allele"].null_count == len(rows):
        return rows
    rows = rows.filter(pc.equal(pc.fill_null(rows["allele"], "ref"), "ref"))
    for name in ("variant", "id", "allele", "fork"):
        index = CHUNKS.get_field_index(name)
        rows = rows.set_column(index, CHUNKS.field(name), pa.nulls(len(rows), rows[name].type))
    return rows


def _alone(rows: pa.Table, first: int) -> pa.Table:
    """The chunks with new numbers, from `first` on, each a stretch of its own."""
    numbers = np.arange(first, first + len(rows))
    changed = {"chunk": numbers, "stretch": numbers, "context": rows["length"].to_numpy()}
    for name, values in changed.items():
        field = CHUNKS.field(name)
        rows = rows.set_column(CHUNKS.get_field_index(name), field, pa.array(values, field.type))
    return rows
