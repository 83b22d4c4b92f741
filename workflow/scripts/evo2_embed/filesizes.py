"""Sizes of the workflow's Parquet files, from what is in them.

The numbers were fitted to files of `tables.parquet_writer`; tests/test_estimate.py compares.
"""

import math

_CHUNK, _CHUNK_FILE = 20, 4_000  # bytes of a window in a chunk table, and of a table
_TOKEN = 0.25  # bytes of a base in a pack file: zstd finds the two bits
_SEGMENT, _PACK, _PACK_FILE = 17, 2_700, 4_000  # of a window's keys, of a pack, of a file
_KEYS, _EMBEDDING_FILE = 10, 4_500  # of a row's keys, of a file's metadata

# Vectors hardly compress. Those that come out of a bf16 model unpooled are float32 with 16 bits in
# use, so that each is an index into a dictionary.
_COMPRESSED, _FLOAT16, _UNPOOLED = 0.93, 1.0, 0.5
# pyarrow tries a dictionary of up to this many bytes first, in every row group.
_DICTIONARY = 1 << 20
_GROUP_BYTES, _GROUP_ROWS = 4 << 20, 8192  # as in tables.row_group_rows


def chunk_tables(windows: int, bundles: int) -> int:
    """Bytes of all chunk tables."""
    return windows * _CHUNK + bundles * _CHUNK_FILE


def pack_files(tokens: int, windows: int, packs: int, shards: int) -> int:
    """Bytes of all pack files."""
    return round(tokens * _TOKEN + windows * _SEGMENT + packs * _PACK + shards * _PACK_FILE)


def layer_files(
    extraction: dict, width: int, rows: int, shards: int, means: int
) -> tuple[int, int]:
    """Bytes of one layer's shard files, and of its dataset.

    Parameters
    ----------
    extraction : dict
        An entry of the settings' `extractions`.
    width, rows, shards : int
        Numbers in a vector, rows of all shards, and shards.
    means : int
        Rows of the levels, which are float32.
    """
    itemsize = {"float32": 4, "float16": 2}[extraction["dtype"]]
    share = _share(extraction)
    in_shard = rows / max(shards, 1)
    shard = _vectors(in_shard, width, itemsize, share) + in_shard * _KEYS + _EMBEDDING_FILE
    dataset = _vectors(rows, width, itemsize, share) + rows * _KEYS + _EMBEDDING_FILE
    return round(shard * shards), round(dataset + means * width * 4)


def _share(extraction: dict) -> float:
    """Size of a vector's numbers in a file, of what they are in memory."""
    if extraction["dtype"] == "float16":
        return _FLOAT16
    unpooled = extraction["pooling"] in ("max", "last", {"bin": 1})
    return _UNPOOLED if unpooled and extraction["precision"] != "fp32" else _COMPRESSED


def _vectors(rows: float, width: int, itemsize: int, share: float) -> float:
    """Bytes of vectors in row groups, each with its dictionary and the indices into it."""
    group = max(1, min(_GROUP_ROWS, _GROUP_BYTES // (width * itemsize)))
    full, rest = divmod(rows, group)
    return full * _group(group * width, itemsize, share) + _group(rest * width, itemsize, share)


def _group(numbers: float, itemsize: int, share: float) -> float:
    if share != _COMPRESSED or numbers < 2:  # the dictionary is all there is
        return numbers * itemsize * share
    listed = min(numbers, _DICTIONARY // itemsize)
    return numbers * itemsize * share + listed * math.ceil(math.log2(listed)) / 8
