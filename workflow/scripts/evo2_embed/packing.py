"""Chunks to packs: which chunks a shard has, which pack each goes to, and the tokens of a pack."""

import zlib
from contextlib import ExitStack

import numpy as np
import pyarrow as pa
import pyfaidx

from evo2_embed.digests import settings_digest
from evo2_embed.errors import InputError
from evo2_embed.fasta import fasta_index, fetch_tokens, open_fasta, reverse_complement, short
from evo2_embed.packs import place_of
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

BOS = 0  # EOD of CharLevelTokenizer
PADS = {"PAD": 1, "EOS": 0}  # pad_id and eos_id of CharLevelTokenizer


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


def first_fit(lengths: np.ndarray, max_tokens: int) -> list[np.ndarray]:
    """Put segments into packs: longest first, each into the first pack that has room.

    Segments of one length keep their order, so that neighbours on a contig share a pack.

    Parameters
    ----------
    lengths : ndarray, (n,)
        Tokens of each segment, BOS included.
    max_tokens : int
        Most tokens in a pack.

    Returns
    -------
    list of ndarray
        For each pack the numbers of its segments, longest first.
    """
    packs: list[list[int]] = []
    room = np.empty(max(len(lengths), 1), np.int64)
    for segment in np.argsort(-lengths, kind="stable"):
        fits = room[: len(packs)] >= lengths[segment]
        pack = int(fits.argmax()) if fits.any() else len(packs)
        if pack == len(packs):
            packs.append([])
            room[pack] = max_tokens
        packs[pack].append(int(segment))
        room[pack] -= lengths[segment]
    return [np.array(pack) for pack in packs]


def padded_batches(lengths: np.ndarray, max_tokens: int) -> list[np.ndarray]:
    """Batches of segments in their order, each closed before padding it to its longest segment
    would cost more than `max_tokens`."""
    batches: list[np.ndarray] = []
    start, longest = 0, 0
    for segment, length in enumerate(lengths.tolist()):
        if (segment + 1 - start) * max(longest, length) > max_tokens:
            batches.append(np.arange(start, segment))
            start, longest = segment, 0
        longest = max(longest, length)
    if len(lengths):
        batches.append(np.arange(start, len(lengths)))
    return batches


def padded_tokens(lengths: np.ndarray, batches: list[np.ndarray]) -> int:
    """Tokens of batches when each is padded to its longest segment."""
    return sum(len(batch) * int(lengths[batch].max()) for batch in batches)


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
        Folder of the FASTA indexes.
    output : str
        Path of the pack file.

    Returns
    -------
    dict
        The file's metadata: settings, digest, the shard's range of chunks, and its efficiency.
    """
    file = open_table(chunks, CHUNKS)
    origin = table_metadata(file)
    _check_genomes(chunks, list(origin["genomes"]), [genome.name for genome in genomes])
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
        _Genomes(genomes, chunks, indexes, metadata["lower_case"]) as sequences,
    ):
        for number, members in enumerate(packs):
            writer.write_batch(_pack_row(number, table.take(members), sequences, packing))
    return metadata


def _check_genomes(chunks: str, found: list[str], wanted: list[str]) -> None:
    if found != wanted:
        raise InputError(
            f"{chunks}: holds the windows of '{found[0]}' ({len(found)} genomes), not those of "
            f"'{wanted[0]}' ({len(wanted)}); delete it and rerun to redo it"
        )


def _pack_row(number: int, rows: pa.Table, sequences: "_Genomes", packing: dict) -> pa.RecordBatch:
    keys = rows.to_pydict()
    bos = np.full(int(packing["bos"]), BOS, np.uint8)
    segments = [np.concatenate([bos, sequences.tokens(row)]) for row in rows.to_pylist()]
    lengths = [len(segment) for segment in segments]
    width, mask = 0, None
    if packing["strategy"] == "padded":
        width = max(lengths)
        mask = np.arange(width) < np.array(lengths)[:, None]  # (segments, width)
        tokens = np.full(mask.shape, PADS[packing["pad"]], np.uint8)
        tokens[mask] = np.concatenate(segments)
        tokens, mask = tokens.reshape(-1), mask.reshape(-1)
    else:
        tokens = np.concatenate(segments)
    row = {
        "pack": number,
        "tokens": tokens,
        "width": width,
        "mask": mask,
        "cu_seqlens": np.concatenate([[0], np.cumsum(lengths)]),
    } | {key: keys[key] for key in ("chunk", "genome", "contig", "start", "end", "strand", "name")}
    return pa.RecordBatch.from_arrays(
        [pa.array([row[f.name]], f.type) for f in PACKS], schema=PACKS
    )


class _Genomes:
    """Tokens of chunks from the FASTA files of a bundle, each opened when first asked for."""

    def __init__(self, genomes: list[Genome], chunks: str, indexes: str, lower_case: str):
        self.genomes = {genome.name: genome for genome in genomes}
        self.chunks, self.indexes, self.lower_case = chunks, indexes, lower_case
        self.open: dict[str, pyfaidx.Fasta] = {}
        self.stack = ExitStack()

    def __enter__(self) -> "_Genomes":
        return self

    def __exit__(self, *error) -> None:
        self.stack.close()

    def tokens(self, row: dict) -> np.ndarray:
        """Tokens of a chunk on its strand; the file has to be the one that was chunked."""
        genome = self.genomes[row["genome"]]
        if genome.name not in self.open:
            fasta = open_fasta(genome.fasta, fasta_index(self.indexes, genome.name))
            self.open[genome.name] = self.stack.enter_context(fasta)
        tokens = fetch_tokens(
            self.open[genome.name],
            row["contig"],
            row["start"],
            row["end"],
            self.lower_case,
            genome.fasta,
        )
        if zlib.crc32(tokens) != row["crc32"]:
            raise InputError(
                f"{genome.fasta}: record '{short(row['contig'])}': bases {row['start']} to "
                f"{row['end']} are not those that were chunked; the file changed in between, or "
                f"its index did: delete {self.chunks} and rerun"
            )
        return tokens if row["strand"] == "+" else reverse_complement(tokens)
