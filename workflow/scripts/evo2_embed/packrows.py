"""The rows of a pack file: tokens and keys of packs, as many at a time as are written together."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from evo2_embed.reading import Buffers
from evo2_embed.sequences import Sequences
from evo2_embed.tables import PACKS

BOS = 0  # EOD of CharLevelTokenizer
PADS = {"PAD": 1, "EOS": 0}  # pad_id and eos_id of CharLevelTokenizer

ROW_GROUP_TOKENS = 4 << 20


def pack_rows(
    packs: list[np.ndarray], table: pa.Table, sequences: Sequences, packing: dict
) -> Iterator[pa.RecordBatch]:
    """The rows of packs, in batches of about `ROW_GROUP_TOKENS` tokens.

    Parameters
    ----------
    packs : list of ndarray
        For each pack the rows of `table` that it has.
    table : pyarrow.Table
        Chunks (`tables.CHUNKS`).
    sequences : Sequences
    packing : dict
        The section of the configuration.

    Yields
    ------
    pyarrow.RecordBatch
        `tables.PACKS`; good until the next one is asked for.
    """
    buffers = Buffers()
    lengths = table["length"].to_numpy()
    first, tokens = 0, 0
    for pack, members in enumerate(packs):
        tokens += int(lengths[members].sum())
        if tokens >= ROW_GROUP_TOKENS or pack == len(packs) - 1:
            some = packs[first : pack + 1]
            keys = table.take(np.concatenate(some))
            yield _batch(first, [len(pack) for pack in some], keys, sequences, packing, buffers)
            first, tokens = pack + 1, 0


def _batch(
    first: int,
    counts: list[int],
    keys: pa.Table,
    sequences: Sequences,
    packing: dict,
    buffers: Buffers,
) -> pa.RecordBatch:
    """Rows of packs from number `first` on, of `counts` chunks each; `keys` are the chunks."""
    lengths = keys["length"].to_numpy() + int(packing["bos"])
    ends, edges = edges_of(lengths), edges_of(counts)  # of segments in tokens, of packs in segments
    tokens = buffers.take("tokens", int(ends[-1]))
    _fill(tokens, ends, keys, sequences, int(packing["bos"]))
    widths, places = np.zeros(len(counts), np.int32), ends[edges]  # of packs in tokens
    mask = pa.nulls(len(counts), pa.large_binary())
    if packing["strategy"] == "padded":
        widths = np.maximum.reduceat(lengths, edges[:-1]).astype(np.int32)
        places = edges_of(widths.astype(np.int64) * counts)
        tokens, real = pad_rows(tokens, lengths, np.repeat(widths, counts), PADS[packing["pad"]])
        mask = _bytes(places, real)
    # A pack of n segments has n + 1 ends, the first of which is 0.
    owner = np.repeat(np.arange(len(counts)), np.add(counts, 1))
    cu_seqlens = ends[np.arange(len(owner)) - owner] - ends[edges[owner]]
    columns = {
        "pack": pa.array(np.arange(first, first + len(counts), dtype=np.int32)),
        "tokens": _bytes(places, tokens),
        "width": pa.array(widths),
        "mask": mask,
        "cu_seqlens": _lists("cu_seqlens", edges_of(np.add(counts, 1)), pa.array(cu_seqlens)),
    }
    for name in ("chunk", "genome", "contig", "start", "end", "strand", "name"):
        columns[name] = _lists(name, edges, keys[name].combine_chunks())
    return pa.RecordBatch.from_arrays([columns[field.name] for field in PACKS], schema=PACKS)


def _fill(
    tokens: np.ndarray, ends: np.ndarray, keys: pa.Table, sequences: Sequences, bos: int
) -> None:
    """Write the tokens of chunks, each behind its BOS, end to end."""
    if bos:
        tokens[ends[:-1]] = BOS
    names = ("genome", "contig", "start", "end", "strand", "crc32")
    rows = zip(*(keys[name].to_pylist() for name in names), strict=True)
    for row, start, end in zip(rows, (ends[:-1] + bos).tolist(), ends[1:].tolist(), strict=True):
        sequences.copy_tokens(*row, out=tokens[start:end])


def pad_rows(
    tokens: np.ndarray, lengths: np.ndarray, widths: np.ndarray, pad: int
) -> tuple[np.ndarray, np.ndarray]:
    """Segments as rows of `widths` tokens, end to end, and which of the tokens are no pads.

    Parameters
    ----------
    tokens : ndarray of uint8, (lengths.sum(),)
        Segments end to end.
    lengths, widths : ndarray, (n,)
        Of each segment, and of its row.
    pad : int
        What fills a row up on the right.

    Returns
    -------
    padded : ndarray of uint8, (widths.sum(),)
    mask : ndarray of bool, (widths.sum(),)
    """
    column = np.arange(widths.sum()) - np.repeat(edges_of(widths)[:-1], widths)
    mask = column < np.repeat(lengths, widths)
    padded = np.full(len(mask), pad, np.uint8)
    padded[mask] = tokens
    return padded, mask


def edges_of(counts) -> np.ndarray:
    """Where things of these sizes start and end when they lie end to end, from 0."""
    return np.concatenate([[0], np.cumsum(counts, dtype=np.int64)])


def _bytes(edges: np.ndarray, values: np.ndarray) -> pa.Array:
    """A column of byte strings that lie end to end, without a copy."""
    buffers = [None, pa.py_buffer(edges), pa.py_buffer(values)]
    return pa.Array.from_buffers(pa.large_binary(), len(edges) - 1, buffers)


def _lists(name: str, edges: np.ndarray, values: pa.Array) -> pa.Array:
    """A column of lists whose items lie end to end."""
    kind = PACKS.field(name).type
    return pa.LargeListArray.from_arrays(edges, values.cast(kind.value_type), type=kind)
