"""Chunks to packs: which stretches a shard has, in which packs each runs, and their tokens."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from evo2_embed.chunk.stretches import count_bases
from evo2_embed.genomes.fasta import index_folder
from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.genomes.sequences import Sequences
from evo2_embed.io.digests import settings_digest
from evo2_embed.io.errors import InputError
from evo2_embed.io.tables import (
    CHUNKS,
    PACKS,
    check_chunks,
    metadata_schema,
    open_table,
    read_rows,
    table_metadata,
    table_writer,
)
from evo2_embed.pack.assign import fit_stretches, padded_tokens
from evo2_embed.pack.read import place_of
from evo2_embed.pack.rows import pack_rows, stretches_of


def shard_bounds(lengths: np.ndarray, n_shards: int) -> np.ndarray:
    """Divide consecutive stretches among shards by near-equal numbers of tokens.

    A stretch goes to the shard in which its middle token falls.

    Parameters
    ----------
    lengths : ndarray, (n,)
        Tokens of each stretch.
    n_shards : int

    Returns
    -------
    ndarray, (n_shards + 1,)
        Shard s has the stretches bounds[s] to bounds[s + 1]; it may have none.
    """
    lengths = lengths.astype(np.int64)
    middles = np.cumsum(lengths) - lengths / 2
    edges = lengths.sum() * np.arange(1, n_shards) / n_shards
    return np.concatenate([[0], np.searchsorted(middles, edges), [len(lengths)]])


def pack_shard(
    genomes: list[Genome],
    chunks: str,
    shard: int,
    n_shards: int,
    settings: dict,
    indexes: str,
    output: str,
) -> dict:
    """Write the packs of one shard of a bundle.

    Parameters
    ----------
    genomes : list of Genome
        The bundle's.
    chunks : str
        Path of the bundle's chunk table.
    shard, n_shards : int
    settings : dict
        `packing` (the section of the configuration) and `code`.
    indexes : str
        Folder of the FASTA index of a genome that stands alone.
    output : str
        Path of the pack file.

    Returns
    -------
    dict
        The file's metadata: settings, digest, the shard's ranges of stretches and chunks, and its
        efficiency.
    """
    file = open_table(chunks, CHUNKS)
    origin = table_metadata(file)
    _check_genomes(chunks, [entry["genome"] for entry in origin["inputs"]], genomes)
    packing = settings["packing"]
    table, ranges = _shard_chunks(file, chunks, shard, n_shards, packing["bos"])
    stretches = stretches_of(table)
    lengths = stretches.bases + packing["bos"]
    pieces = fit_stretches(lengths, packing)
    metadata = {
        "settings": settings,
        "digest": settings_digest([settings, origin["digest"], shard, n_shards]),
        "chunks_digest": origin["digest"],
        "place": place_of(output),
        "lower_case": origin["settings"]["windows"]["lower_case"],
        **ranges,
        "n_packs": pieces.n_passes,
        "n_tokens": int(lengths.sum()),
        "n_bases": int(table["length"].to_numpy().sum()),
        "budget_tokens": pieces.n_passes * packing["max_tokens"],
        "padded_tokens": padded_tokens(lengths, packing),
    }
    with (
        table_writer(output, metadata_schema(PACKS, metadata)) as writer,
        index_folder(indexes, len(genomes)) as folder,
        Sequences(genomes, chunks, folder, metadata["lower_case"]) as sequences,
    ):
        for batch in pack_rows(pieces, table, stretches, sequences, packing):
            writer.write_batch(batch)
    return metadata


def _shard_chunks(
    file: pq.ParquetFile, source: str, shard: int, n_shards: int, bos: bool
) -> tuple[pa.Table, dict[str, int]]:
    """The chunks of a shard, and its ranges: of stretches, and of the chunks that are theirs.

    Where stretches of two strands meet, chunks of other shards lie between its own.
    """
    columns = file.read(["stretch", "context"])
    stretch = columns["stretch"].to_numpy()
    bounds = shard_bounds(count_bases(stretch, columns["context"].to_numpy()) + bos, n_shards)
    first, stop = int(bounds[shard]), int(bounds[shard + 1])
    mine = np.flatnonzero((stretch >= first) & (stretch < stop))
    begin, end = (int(mine[0]), int(mine[-1]) + 1) if len(mine) else (0, 0)
    table = check_chunks(read_rows(file, begin, end, CHUNKS.names), source, begin)
    ranges = {
        "first_stretch": first,
        "n_stretches": stop - first,
        "first_chunk": begin,
        "stop_chunk": end,
        "n_chunks": len(mine),
    }
    return table.take(mine - begin), ranges


def _check_genomes(chunks: str, found: list[str], genomes: list[Genome]) -> None:
    if found != [genome.name for genome in genomes]:
        raise InputError(
            f"{chunks}: holds the windows of '{found[0]}' ({len(found)} genomes), not those of "
            f"'{genomes[0].name}' ({len(genomes)}); delete {chunks} and rerun to redo it"
        )
