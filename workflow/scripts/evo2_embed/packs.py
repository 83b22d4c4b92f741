"""Pack files, as those see them who read them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from evo2_embed.errors import InputError


def place_of(packs: str | Path) -> str:
    """Bundle and shard of a pack file, from its path: `{bundle}/{shard}.parquet`."""
    return "/".join(Path(packs).with_suffix("").parts[-2:])


def read_segments(file) -> dict[str, np.ndarray]:
    """Keys of all segments of a pack file, without their tokens."""
    names = ("chunk", "genome", "contig", "start", "end", "strand", "name")
    table = file.read(list(names))
    flat = {name: table[name].combine_chunks().flatten() for name in names}
    numbers = ("chunk", "start", "end")
    return {
        name: column.to_numpy(zero_copy_only=False)
        if name in numbers
        else np.array(column.to_pylist(), object)
        for name, column in flat.items()
    }


def read_chunks(file) -> dict[int, np.ndarray]:
    """By number of a pack, the chunks that it holds."""
    table = file.read(["pack", "chunk"])
    chunks = (row.values.to_numpy() for row in table["chunk"])
    return dict(zip(table["pack"].to_pylist(), chunks, strict=True))


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
                f"{source}: pack {row['pack']} does not hold together; delete {source} and rerun"
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
