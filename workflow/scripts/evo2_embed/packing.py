"""Chunks to packs: which chunks a shard has, which pack each goes to, and the tokens of a pack."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from evo2_embed.digests import settings_digest
from evo2_embed.errors import InputError
from evo2_embed.fitting import first_fit, padded_batches, padded_tokens
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

ROW_GROUP_TOKENS = 4 << 20  # tokens of packs that are written, and read, together

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
        Sequences(genomes, chunks, indexes, metadata["lower_case"]) as sequences,
    ):
        for first, stop in _row_groups(packs, lengths):
            writer.write_batch(_pack_rows(first, packs[first:stop], table, sequences, packing))
    return metadata


def _row_groups(packs: list[np.ndarray], lengths: np.ndarray) -> Iterator[tuple[int, int]]:
    """Ranges of packs that together have about `ROW_GROUP_TOKENS` tokens, at least one pack."""
    first, tokens = 0, 0
    for pack, members in enumerate(packs):
        tokens += int(lengths[members].sum())
        if tokens >= ROW_GROUP_TOKENS:
            yield first, pack + 1
            first, tokens = pack + 1, 0
    if first < len(packs):
        yield first, len(packs)


def _pack_rows(
    first: int, packs: list[np.ndarray], table: pa.Table, sequences: Sequences, packing: dict
) -> pa.RecordBatch:
    """The rows of packs that follow one another; `first` is the number of the first."""
    keys = table.take(np.concatenate(packs)).drop_columns(["length", "gc", "ambiguous"])
    columns = keys.to_pydict()
    bos = int(packing["bos"])
    lengths = np.subtract(columns["end"], columns["start"]) + bos
    ends = np.concatenate([[0], np.cumsum(lengths)])
    tokens = np.full(ends[-1], BOS, np.uint8)
    for number, end in enumerate(ends[1:].tolist()):
        row = {key: values[number] for key, values in columns.items()}
        sequences.copy_tokens(row, tokens[end - row["end"] + row["start"] : end])
    edges = np.concatenate([[0], np.cumsum([len(pack) for pack in packs])])  # of packs, in segments
    widths, masks = np.zeros(len(packs), np.int32), None
    pieces = [tokens[ends[a] : ends[b]] for a, b in zip(edges, edges[1:], strict=False)]
    counts = [lengths[a:b] for a, b in zip(edges, edges[1:], strict=False)]
    if packing["strategy"] == "padded":
        widths = np.array([count.max() for count in counts], np.int32)
        masks = [np.arange(w) < n[:, None] for w, n in zip(widths, counts, strict=True)]
        pieces = [
            _padded(piece, mask, PADS[packing["pad"]])
            for piece, mask in zip(pieces, masks, strict=True)
        ]
    arrays = {
        "pack": pa.array(np.arange(first, first + len(packs)), pa.int32()),
        "tokens": pa.array([piece.tobytes() for piece in pieces], pa.large_binary()),
        "width": pa.array(widths),
        "mask": pa.array(
            [mask.tobytes() for mask in masks] if masks else [None] * len(packs), pa.large_binary()
        ),
        "cu_seqlens": pa.array(
            [np.append(0, np.cumsum(n)) for n in counts], PACKS.field("cu_seqlens").type
        ),
    }
    for field in PACKS:
        if field.name not in arrays:
            values = keys[field.name].cast(field.type.value_type).combine_chunks()
            arrays[field.name] = pa.LargeListArray.from_arrays(edges, values, type=field.type)
    return pa.RecordBatch.from_arrays([arrays[field.name] for field in PACKS], schema=PACKS)


def _padded(tokens: np.ndarray, mask: np.ndarray, pad: int) -> np.ndarray:
    """Tokens of segments end to end as rows of one width, (segments, width)."""
    rows = np.full(mask.shape, pad, np.uint8)
    rows[mask] = tokens
    return rows


def read_packs(file, source: str) -> Iterator[dict]:
    """The rows of a pack file, one at a time, checked; numeric lists are numpy arrays.

    Raises
    ------
    InputError
        When a pack's lists do not fit together.
    """
    for batch in file.iter_batches(batch_size=1):
        row = {
            name: column[0].as_py() if name in _TEXT else _numbers(name, column[0])
            for name, column in zip(batch.schema.names, batch.columns, strict=True)
        }
        ends, segments = row["cu_seqlens"], len(row["chunk"])
        tokens = segments * row["width"] or ends[-1]
        whole = len(ends) == segments + 1 and ends[0] == 0 and (np.diff(ends) > 0).all()
        if not whole or len(row["tokens"]) != tokens:
            raise InputError(
                f"{source}: pack {row['pack']} does not hold together; delete it and rerun"
            )
        yield row


_BYTES = {"tokens": np.uint8, "mask": np.bool_}
_TEXT = ("pack", "width", "genome", "contig", "strand", "name")


def _numbers(name: str, scalar) -> np.ndarray | None:
    if not scalar.is_valid:
        return None
    if name in _BYTES:
        return np.frombuffer(scalar.as_buffer(), _BYTES[name])
    return scalar.values.to_numpy(zero_copy_only=False)
