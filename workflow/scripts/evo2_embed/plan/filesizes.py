"""Sizes of the workflow's Parquet files, from what is in them.

The numbers were fitted to files of `tables.parquet_writer`; tests/test_estimate.py compares.
"""

import math

from evo2_embed.settings.sections import Extraction, Settings, Windows

_CHUNK, _CHUNK_FILE = 20, 4_000  # bytes of a window in a chunk table, and of a table
_TOKEN = 0.31  # bytes of a token in a pack file; where windows overlap, only of a base's first one
_SEGMENT, _PACK_FILE = 16, 9_500  # of a window's keys, of a file
_KEYS, _EMBEDDING_FILE = 10, 4_500  # of a row's keys, of a file's metadata
_MEAN = 1_200  # of the row group that a contig or genome has in the table of its level

# Of a training set, in each of two forms: bytes of a token among its inputs (with a BOS or without)
# and its labels, of a window's keys, and of the files of a shard.
_INPUT, _INPUT_BOS, _LABEL, _KEY, _FORM_FILES = 0.25, 0.335, 0.335, 10, 9_000

# Vectors hardly compress. Those that come out of a bf16 model unpooled are float32 with 16 bits in
# use, so that each is an index into a dictionary.
_COMPRESSED, _FLOAT16, _UNPOOLED = 0.93, 1.0, 0.5
# pyarrow tries a dictionary of up to this many bytes first, in every row group.
_DICTIONARY = 1 << 20
_GROUP_BYTES, _GROUP_ROWS = 4 << 20, 8192  # as in tables.row_group_rows


def chunk_tables(windows: int, bundles: int) -> int:
    """Bytes of all chunk tables."""
    return windows * _CHUNK + bundles * _CHUNK_FILE


def pack_files(windows: Windows, tokens: int, count: int, shards: int) -> int:
    """Bytes of all pack files, with `count` windows of these settings."""
    # Windows that share a stretch run their overlap once.
    new = 1 if windows.has_spans else min(1, windows.stride / windows.size)
    return round(tokens * new * _TOKEN + count * _SEGMENT + shards * _PACK_FILE)


def training_set(settings: Settings, tokens: int, count: int, shards: int) -> int:
    """Bytes of the files that `export: finetune` adds, with `count` windows; 0 without it."""
    if settings.export != "finetune":
        return 0
    windows = settings.windows
    new = min(1, windows.stride / windows.size)
    # Labels take three bits each, so those of windows that overlap are the same bytes again only
    # where windows start on a multiple of eight.
    labels = _LABEL * (new if windows.stride % 8 == 0 else 1)
    inputs = new * (_INPUT_BOS if settings.packing.bos else _INPUT)
    return round(2 * (tokens * (inputs + labels) + count * _KEY + shards * _FORM_FILES))


def shard_files(extraction: Extraction, width: int, rows: int, shards: int) -> int:
    """Bytes of one layer's shard files, with vectors of `width` numbers and so many rows in all."""
    per_shard = rows / max(shards, 1)
    return round(shards * _rows(extraction, width, per_shard))


def dataset(extraction: Extraction, width: int, rows: int, means: list[int], strands: int) -> int:
    """Bytes of one layer's dataset, with the tables of its levels.

    Parameters
    ----------
    extraction : Extraction
    width, rows : int
        Numbers in a vector, and vectors.
    means : list of int
        Of each level, how many contigs or genomes it has.
    strands : int
        Rows of each of them.
    """
    mean = _group(strands * width, 4, _COMPRESSED) + _MEAN
    return round(_rows(extraction, width, rows) + sum(means) * mean)


def _rows(extraction: Extraction, width: int, rows: float) -> float:
    itemsize = {"float32": 4, "float16": 2}[extraction.dtype]
    share = _share(extraction)
    return _vectors(rows, width, itemsize, share) + rows * _KEYS + _EMBEDDING_FILE


def _share(extraction: Extraction) -> float:
    """Size of a vector's numbers in a file, of what they are in memory."""
    if extraction.dtype == "float16":
        return _FLOAT16
    unpooled = extraction.pooling in ("max", "last", {"bin": 1})
    return _UNPOOLED if unpooled and extraction.precision != "fp32" else _COMPRESSED


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
