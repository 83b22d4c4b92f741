"""Reading pack files. In code a segment has `offset` and `remaining`; the file's columns are named
`position` and `left`."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from evo2_embed.io.errors import InputError
from evo2_embed.io.parts import Parts
from evo2_embed.io.tables import VARIANT_KEYS, to_numpy
from evo2_embed.pack.assign import edges_of

PLAIN_KEYS = ("chunk", "start", "end", "context", "genome", "contig", "strand", "name")
CHUNK_KEYS = (*PLAIN_KEYS, "parts")
_NAMES = {"position": "offset", "left": "remaining"}


def has_variants(file: pq.ParquetFile) -> bool:
    """Whether some windows of a pack file are of variants."""
    return "variant" in file.metadata.schema.to_arrow_schema().names


def read_chunk_keys(file: pq.ParquetFile) -> dict[str, np.ndarray | Parts]:
    """Keys of all chunks of a pack file, without their tokens.

    Returns
    -------
    dict of str to ndarray, (n,), or Parts
        `CHUNK_KEYS` and `stretch`, as in the chunk table, and `VARIANT_KEYS` if the file has them;
        chunks in the order of their packs.
    """
    of_variants = VARIANT_KEYS if has_variants(file) else ()
    table = file.read([*CHUNK_KEYS, *of_variants, "segment", "stretch"])
    names = (*PLAIN_KEYS, *of_variants)
    keys = {name: to_numpy(table[name].combine_chunks().flatten()) for name in names}
    return {"stretch": _stretches(table), **keys, "parts": _parts(table)}


def _parts(table: pa.Table) -> Parts:
    """Parts of all chunks; a pack without parts has null instead of a list."""
    packs = table["parts"].combine_chunks()
    chunks = pc.list_value_length(table["chunk"].combine_chunks()).to_numpy()
    lists = packs.flatten()
    counts = np.zeros(chunks.sum(), np.int64)
    counts[np.repeat(packs.is_valid().to_numpy(False), chunks)] = pc.list_value_length(lists)
    return Parts.from_lists(counts, lists.flatten().to_numpy())


def _stretches(table: pa.Table) -> np.ndarray:
    """Number of the stretch of each chunk, (n,)."""
    segment, stretch = (table[name].combine_chunks() for name in ("segment", "stretch"))
    # `segment` counts within the pack; `first` is the number of a pack's first segment in the file.
    first = edges_of(pc.list_value_length(stretch))[:-1]
    pack = np.repeat(np.arange(len(table)), pc.list_value_length(segment))
    return stretch.flatten().to_numpy()[first[pack] + segment.flatten().to_numpy()]


def read_pack_segments(file: pq.ParquetFile) -> dict[int, dict[str, np.ndarray]]:
    """Segments of each pack, by the pack's number, in order.

    Returns
    -------
    dict of int to dict
        `stretch`, `offset` and `parent`, int64, (S,), and `cu_seqlens`, int32, (S + 1,).
    """
    names = ("stretch", "position", "cu_seqlens", "parent")
    table = file.read(["pack", *names])
    columns = [[_value(name, row) for row in table[name]] for name in names]
    keys = [_NAMES.get(name, name) for name in names]
    rows = zip(table["pack"].to_pylist(), *columns, strict=True)
    return {pack: _with_parents(dict(zip(keys, values, strict=True))) for pack, *values in rows}


def forks_in(segments: dict[int, dict[str, np.ndarray]]) -> np.ndarray:
    """The forks among the segments of all packs: stretch, parent, and tokens of the parent before
    the fork, BOS included: int64, (F, 3)."""
    columns = [
        np.concatenate([pack[name] for pack in segments.values()])
        for name in ("stretch", "parent", "offset")
    ]
    return np.stack(columns, axis=1)[columns[1] >= 0]


def _with_parents(row: dict) -> dict:
    """A row of a file without forks has no column `parent`."""
    if row["parent"] is None:
        row["parent"] = np.full(len(row["stretch"]), -1)
    return row


def read_packs(file: pq.ParquetFile, source: str) -> Iterator[dict]:
    """The rows of a pack file, one at a time, checked.

    Yields
    ------
    dict
        The columns of `tables.PACKS`, with `offset` for `position` and `remaining` for `left`.
        Numeric lists are arrays: `tokens` uint8, `mask` bool (or None), (tokens,); `stretch`,
        `offset`, `remaining`, `parent`, (S,); `cu_seqlens`, (S + 1,); those of the n chunks, (n,).

    Raises
    ------
    InputError
        When the lists of a pack do not match.
    """
    for batch in file.iter_batches(batch_size=1):
        row = {
            _NAMES.get(name, name): _value(name, column[0])
            for name, column in zip(batch.schema.names, batch.columns, strict=True)
        }
        row = _with_parents(row)
        if not _is_whole(row):
            raise InputError(
                f"{source}: the lists of pack {row['pack']} do not match; "
                f"delete {source} and rerun to redo it"
            )
        yield row


def _is_whole(row: dict) -> bool:
    """Whether the lists of a pack match."""
    ends, n_segments = row["cu_seqlens"], len(row["stretch"])
    if len(ends) != n_segments + 1 or ends[0] != 0 or (np.diff(ends) <= 0).any():
        return False
    for name in ("offset", "remaining"):
        if len(row[name]) != n_segments or (row[name] < 0).any():
            return False
    parent = row["parent"]
    if len(parent) != n_segments or ((parent >= 0) & (row["offset"] == 0)).any():
        return False
    if len(row["tokens"]) != (n_segments * row["width"] or ends[-1]):
        return False
    owner = row["segment"]
    if any(len(row[name]) != len(owner) for name in PLAIN_KEYS):
        return False
    if any(row[name] is not None and len(row[name]) != len(owner) for name in VARIANT_KEYS):
        return False
    if ((owner < 0) | (owner >= n_segments)).any():
        return False
    # The last base of a chunk is in its segment. `<=` twice: `context` does not count a BOS.
    offset, length = row["offset"][owner], np.diff(ends)[owner]
    return bool(((offset <= row["context"]) & (row["context"] <= offset + length)).all())


_BYTES = {"tokens": np.uint8, "mask": np.bool_}
_PLAIN = (
    *("pack", "width", "genome", "contig", "strand", "name", "parts"),
    *VARIANT_KEYS,
)


def _value(name: str, scalar: pa.Scalar):
    if name in _PLAIN or not scalar.is_valid:
        return scalar.as_py()
    if name in _BYTES:
        return np.frombuffer(scalar.as_buffer(), _BYTES[name])
    return scalar.values.to_numpy(zero_copy_only=False)
