"""Pack files, as those see them who read them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evo2_embed.io.errors import InputError
from evo2_embed.pack.assign import edges_of


def place_of(packs: str | Path) -> str:
    """Bundle and shard of a pack file, from its path: `{bundle}/{shard}.parquet`."""
    return "/".join(Path(packs).with_suffix("").parts[-2:])


def read_segments(file) -> dict[str, np.ndarray]:
    """Keys of all chunks of a pack file, pack after pack, without their tokens: `context` and
    `stretch` as in the chunk table."""
    numbers = ("chunk", "start", "end", "context")
    names = (*numbers, "genome", "contig", "strand", "name")
    table = file.read([*names, "segment", "stretch"])
    flat = {name: table[name].combine_chunks().flatten() for name in names}
    return {
        "stretch": _stretches(table),
        **{
            name: column.to_numpy(zero_copy_only=False)
            if name in numbers
            else np.array(column.to_pylist(), object)
            for name, column in flat.items()
        },
    }


def _stretches(table: pa.Table) -> np.ndarray:
    """Numbers of the stretches that the chunks of packs are in."""
    segment, stretch = (table[name].combine_chunks() for name in ("segment", "stretch"))
    # A chunk says which segment of its pack it ends in.
    first = edges_of(pc.list_value_length(stretch))[:-1]
    pack = np.repeat(np.arange(len(table)), pc.list_value_length(segment))
    return stretch.flatten().to_numpy()[first[pack] + segment.flatten().to_numpy()]


def read_pieces(file) -> dict[int, dict[str, np.ndarray]]:
    """By number of a pack, in order: `stretch` and `position` of its segments, `cu_seqlens`."""
    names = ("stretch", "position", "cu_seqlens")
    table = file.read(["pack", *names])
    columns = [[row.values.to_numpy() for row in table[name]] for name in names]
    rows = zip(table["pack"].to_pylist(), *columns, strict=True)
    return {pack: dict(zip(names, values, strict=True)) for pack, *values in rows}


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
        if not _is_whole(row):
            raise InputError(
                f"{source}: pack {row['pack']} does not hold together; delete {source} and rerun"
            )
        yield row


def _is_whole(row: dict) -> bool:
    """Whether the lists of a pack fit together."""
    ends, segments = row["cu_seqlens"], len(row["stretch"])
    if len(ends) != segments + 1 or ends[0] != 0 or (np.diff(ends) <= 0).any():
        return False
    if any(len(row[name]) != segments or (row[name] < 0).any() for name in ("position", "left")):
        return False
    if len(row["tokens"]) != (segments * row["width"] or ends[-1]):
        return False
    owner = row["segment"]
    if any(len(row[name]) != len(owner) for name in _OF_CHUNKS):
        return False
    if ((owner < 0) | (owner >= segments)).any():
        return False
    # A chunk ends in its segment: with a BOS, `context` bases are a token more.
    position, length = row["position"][owner], np.diff(ends)[owner]
    return bool(((position <= row["context"]) & (row["context"] <= position + length)).all())


_OF_CHUNKS = ("chunk", "context", "genome", "contig", "start", "end", "strand", "name")
_BYTES = {"tokens": np.uint8, "mask": np.bool_}
_TEXT = ("pack", "width", "genome", "contig", "strand", "name")


def _numbers(name: str, scalar) -> np.ndarray | None:
    if not scalar.is_valid:
        return None
    if name in _BYTES:
        return np.frombuffer(scalar.as_buffer(), _BYTES[name])
    return scalar.values.to_numpy(zero_copy_only=False)
