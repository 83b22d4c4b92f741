"""Windows with their bases shuffled: what a layer makes of a sequence that is none."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from evo2_embed.dataset.sampling import evenly
from evo2_embed.genomes.fasta import index_folder
from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.genomes.sequences import Sequences
from evo2_embed.io.digests import settings_digest
from evo2_embed.io.tables import (
    CHUNKS,
    PACKS,
    metadata_schema,
    open_table,
    table_metadata,
    table_writer,
)
from evo2_embed.pack.assign import fit_stretches, padded_tokens
from evo2_embed.pack.read import place_of
from evo2_embed.pack.rows import pack_rows, stretches_of

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
) -> dict:
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
        Folder of the FASTA index of a genome that stands alone.
    output : str
        Path of the pack file (`tables.PACKS`); `chunk` counts its segments.

    Returns
    -------
    dict
        The file's metadata: settings, digest and counts, as a shard's pack file has them.
    """
    share = -(-number // len(bundles))
    origins, chosen, first = [], [], 0
    for path, _ in bundles:
        file = open_table(path, CHUNKS)
        origins.append(table_metadata(file))
        rows = file.read().take(evenly(file.metadata.num_rows, share))
        chosen.append(_alone(rows, first))
        first += len(rows)
    packing = settings["packing"]
    lengths = [rows["length"].to_numpy() + packing["bos"] for rows in chosen]
    pieces = [fit_stretches(mine, packing) for mine in lengths]
    n_packs, n_tokens = sum(mine.n_passes for mine in pieces), int(sum(map(np.sum, lengths)))
    metadata = {
        "settings": settings,
        "digest": settings_digest([settings, number, [origin["digest"] for origin in origins]]),
        "chunks_digest": settings_digest([origin["digest"] for origin in origins]),
        "place": place_of(output),
        "first_stretch": 0,
        "n_stretches": first,
        "first_chunk": 0,
        "stop_chunk": first,
        "n_chunks": first,
        "n_packs": n_packs,
        "n_tokens": n_tokens,
        "n_bases": n_tokens - first * packing["bos"],
        "budget_tokens": n_packs * packing["max_tokens"],
        "padded_tokens": padded_tokens(np.concatenate(lengths), packing),
    }
    with table_writer(output, metadata_schema(PACKS, metadata)) as writer:
        n_packs = 0
        for (path, genomes), rows, mine, origin in zip(
            bundles, chosen, pieces, origins, strict=True
        ):
            lower_case = origin["settings"]["windows"]["lower_case"]
            with (
                index_folder(indexes, len(genomes)) as folder,
                ShuffledSequences(genomes, path, folder, lower_case) as sequences,
            ):
                batches = pack_rows(mine, rows, stretches_of(rows), sequences, packing)
                for batch in _numbered(batches, n_packs):
                    writer.write_batch(batch)
            n_packs += mine.n_passes
    return metadata


def _alone(rows: pa.Table, first: int) -> pa.Table:
    """Chunks with numbers from `first` on, each a stretch of its own."""
    numbers = np.arange(first, first + len(rows))
    changed = {"chunk": numbers, "stretch": numbers, "context": rows["length"].to_numpy()}
    for name, values in changed.items():
        field = CHUNKS.field(name)
        rows = rows.set_column(CHUNKS.get_field_index(name), field, pa.array(values, field.type))
    return rows


def _numbered(batches: Iterator[pa.RecordBatch], first: int) -> Iterator[pa.RecordBatch]:
    """Pack rows whose packs are numbered from `first` on."""
    for batch in batches:
        numbers = pa.array(batch["pack"].to_numpy() + np.int32(first))
        yield batch.set_column(0, PACKS.field("pack"), numbers)
