"""One shard of a bundle to a pack file: which stretches it has."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from evo2_embed.chunk.stretches import count_bases
from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.io.digests import settings_digest
from evo2_embed.io.errors import InputError
from evo2_embed.io.row_checks import check_chunks
from evo2_embed.io.tables import CHUNKS, open_table, read_rows, table_metadata
from evo2_embed.pack.metadata import PackMetadata
from evo2_embed.pack.rows import fork_columns
from evo2_embed.pack.write import PackSource, write_packs


def shard_bounds(lengths: np.ndarray, n_shards: int) -> np.ndarray:
    """Divide consecutive stretches among shards with nearly equal numbers of tokens.

    Parameters
    ----------
    lengths : ndarray of int64, (n,)
        Tokens of each stretch.
    n_shards : int

    Returns
    -------
    ndarray of int64, (n_shards + 1,)
        Shard s has the stretches bounds[s] to bounds[s + 1], possibly none.
    """
    lengths = lengths.astype(np.int64)
    # A stretch belongs to the shard in which its middle token falls.
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
) -> PackMetadata:
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
        Folder that keeps FASTA indexes (`fasta.index_folder`).
    output : str
        Path of the pack file.

    Raises
    ------
    InputError
        If the chunk table is damaged or of other genomes, or a FASTA file has changed.
    """
    file = open_table(chunks, CHUNKS)
    chunked = table_metadata(file)
    _check_genomes(chunks, [entry["genome"] for entry in chunked["inputs"]], genomes)
    table, first = _shard_chunks(file, chunks, shard, n_shards, settings["packing"]["bos"])
    lower_case = chunked["settings"]["windows"]["lower_case"]
    origin = {
        "settings": settings,
        "digest": settings_digest([settings, chunked["digest"], shard, n_shards]),
        "chunks_digest": chunked["digest"],
        "lower_case": lower_case,
    }
    return write_packs(
        output, [PackSource(chunks, genomes, table, lower_case)], origin, indexes, first
    )


def _shard_chunks(
    file: pq.ParquetFile, source: str, shard: int, n_shards: int, bos: bool
) -> tuple[pa.Table, int]:
    """The chunks of a shard, and the number of its first stretch."""
    columns = file.read(["stretch", "context", "parent", "fork"])
    stretch, forks = columns["stretch"].to_numpy(), fork_columns(columns)
    lengths = count_bases(stretch, columns["context"].to_numpy(), *forks) + bos
    bounds = shard_bounds(lengths, n_shards)
    is_fork = np.zeros(len(lengths) + 1, bool)
    is_fork[stretch[forks[0] >= 0]] = True
    # A fork belongs to the shard of its parent, whose forks have the numbers after its own.
    bounds = np.maximum.accumulate(~is_fork * np.arange(len(is_fork)))[bounds]
    first, stop = int(bounds[shard]), int(bounds[shard + 1])
    # Where stretches of two strands meet, chunks of other shards lie between its own.
    mine = np.flatnonzero((stretch >= first) & (stretch < stop))
    begin, end = (int(mine[0]), int(mine[-1]) + 1) if len(mine) else (0, 0)
    table = check_chunks(read_rows(file, begin, end, CHUNKS.names), source, begin)
    return table.take(mine - begin), first


def _check_genomes(chunks: str, found: list[str], genomes: list[Genome]) -> None:
    if found != [genome.name for genome in genomes]:
        raise InputError(
            f"{chunks}: holds the windows of '{found[0]}' ({len(found)} genomes), not those of "
            f"'{genomes[0].name}' ({len(genomes)}); delete {chunks} and rerun to redo it"
        )
