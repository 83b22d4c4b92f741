"""Chunks to packs: which chunks a shard has, which pack each goes to, and the tokens of a pack."""

import numpy as np

from evo2_embed.digests import settings_digest
from evo2_embed.errors import InputError
from evo2_embed.fasta import index_folder
from evo2_embed.fitting import first_fit, padded_batches, padded_tokens
from evo2_embed.packrows import pack_rows
from evo2_embed.packs import place_of
from evo2_embed.sequences import Sequences
from evo2_embed.sheet import Genome
from evo2_embed.tables import (
    CHUNKS,
    PACKS,
    check_chunks,
    metadata_schema,
    open_table,
    read_rows,
    table_metadata,
    table_writer,
)


def shard_bounds(lengths: np.ndarray, n_shards: int) -> np.ndarray:
    """Divide consecutive chunks among shards by near-equal numbers of tokens.

    A chunk goes to the shard in which its middle token falls.

    Parameters
    ----------
    lengths : ndarray, (n,)
        Tokens of each chunk.
    n_shards : int

    Returns
    -------
    ndarray, (n_shards + 1,)
        Shard s has the chunks bounds[s] to bounds[s + 1]; it may have none.
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
        The file's metadata: settings, digest, the shard's range of chunks, and its efficiency.
    """
    file = open_table(chunks, CHUNKS)
    origin = table_metadata(file)
    _check_genomes(chunks, [entry["genome"] for entry in origin["inputs"]], genomes)
    all_lengths = file.read(["length"])["length"].to_numpy()
    bounds = shard_bounds(all_lengths, n_shards)
    start, stop = int(bounds[shard]), int(bounds[shard + 1])
    table = check_chunks(read_rows(file, start, stop, CHUNKS.names), chunks, start)

    packing = settings["packing"]
    lengths = table["length"].to_numpy() + packing["bos"]
    budget = packing["max_tokens"]
    batches = padded_batches(lengths, budget)
    packs = first_fit(lengths, budget) if packing["strategy"] == "packed" else batches
    metadata = {
        "settings": settings,
        "digest": settings_digest([settings, origin["digest"], shard, n_shards]),
        "chunks_digest": origin["digest"],
        "place": place_of(output),
        "lower_case": origin["settings"]["windows"]["lower_case"],
        "first_chunk": start,
        "n_chunks": stop - start,
        "n_packs": len(packs),
        "n_tokens": int(lengths.sum()),
        "n_bases": int(table["length"].to_numpy().sum()),
        "budget_tokens": len(packs) * budget,
        "padded_tokens": padded_tokens(lengths, batches),
    }
    with (
        table_writer(output, metadata_schema(PACKS, metadata)) as writer,
        index_folder(indexes, len(genomes)) as folder,
        Sequences(genomes, chunks, folder, metadata["lower_case"]) as sequences,
    ):
        for batch in pack_rows(packs, table, sequences, packing):
            writer.write_batch(batch)
    return metadata


def _check_genomes(chunks: str, found: list[str], genomes: list[Genome]) -> None:
    if found != [genome.name for genome in genomes]:
        raise InputError(
            f"{chunks}: holds the windows of '{found[0]}' ({len(found)} genomes), not those of "
            f"'{genomes[0].name}' ({len(genomes)}); delete {chunks} and rerun to redo it"
        )
