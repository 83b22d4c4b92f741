"""Sizes of the workflow's Parquet files, from their content.

The numbers were fitted to files of `tables.parquet_writer`; tests/plan/test_estimate.py compares.
"""

import math
from typing import NamedTuple

from evo2_embed.settings.extraction import Extraction
from evo2_embed.settings.settings import Settings
from evo2_embed.settings.windows import Windows

_CHUNK, _CHUNK_FILE = 20, 4_000  # bytes per window in a chunk table, and per table
_TOKEN = 0.31  # bytes per token in a pack file; for overlapping windows only at its first copy
# Of variants: bytes that a window has in addition, in a chunk table and in a pack file; and bytes
# of a token in a pack file that is not its first copy.
_VARIANT_CHUNK, _VARIANT, _AGAIN = 4, 6, 0.005
_SEGMENT, _PACK_FILE = 16, 9_500  # bytes of a window's keys, and per file
_KEYS, _EMBEDDING_FILE = 10, 4_500  # bytes of a row's keys, and of a file's metadata
_SCORES = 17  # bytes of a row of scores
_SCORES_SHARD, _SCORES_PART = 8_500, 6_500  # bytes of the metadata of its files
_ALLELES, _ALLELES_FILE = 60, 9_000  # bytes of a variant's keys and distances, and of a file
_INTERVAL = 8  # bytes of an interval in a bigWig file
_HEADS_FILE = 6_000  # bytes of the metadata of a file of a head
_OUTPUT, _FEATURE = 4.5, 6  # bytes of a class or number of a row, and of a feature with its value
_LEVEL_FILE = 3_000  # bytes of the metadata of a table of means over contigs or genomes

# Exports: bytes of a row beside its vector, and of a file; of a row of a map, which has no vector.
_ANNDATA, _ANNDATA_FILE, _LANCE, _LANCE_FILE, _ATLAS = 110, 35_000, 8, 13_000, 105

# Training set, per form: bytes per token of inputs (with or without BOS) and of labels, per window
# for its keys, and per shard for its files.
_INPUT, _INPUT_BOS, _LABEL, _KEY, _FORM_FILES = 0.25, 0.335, 0.335, 10, 9_000

# Vectors hardly compress, except unpooled vectors of a bf16 model: they are float32 with 16 bits in
# use, so each is an index into a dictionary.
_COMPRESSED, _FLOAT16, _UNPOOLED = 0.93, 1.0, 0.5
_ITEM = {"float32": 4, "float16": 2}
# pyarrow first tries a dictionary of up to this many bytes in every row group.
_DICTIONARY = 1 << 20
_GROUP_BYTES, _GROUP_ROWS = 4 << 20, 8192  # as in tables.row_group_rows


class OfVariants(NamedTuple):
    """Windows of variants, their tokens, and the bases that they cover (`variants.Counts`)."""

    windows: int
    tokens: int
    covered: int


def chunk_tables(windows: int, bundles: int, variants: OfVariants) -> int:
    """Bytes of all chunk tables; `windows` include those of variants."""
    return windows * _CHUNK + variants.windows * _VARIANT_CHUNK + bundles * _CHUNK_FILE


def pack_files(windows: Windows, tokens: int, count: int, shards: int, variants: OfVariants) -> int:
    """Bytes of all pack files, for `count` windows; tokens and windows include those of
    variants."""
    # Windows of one stretch share the tokens of their overlap.
    new = 1 if windows.has_spans else min(1, windows.stride / windows.size)
    again = max(variants.tokens - variants.covered, 0)
    tiled = (tokens - variants.tokens) * new + variants.tokens - again
    of_variants = again * _AGAIN + variants.windows * _VARIANT
    return round(tiled * _TOKEN + count * _SEGMENT + shards * _PACK_FILE + of_variants)


def training_set(settings: Settings, tokens: int, count: int, shards: int) -> int:
    """Bytes of the files of `export: finetune`, for `count` windows; 0 without it."""
    if not settings.exports.finetune:
        return 0
    windows = settings.windows
    new = min(1, windows.stride / windows.size)
    # Labels take three bits each, so labels of overlapping windows repeat the same bytes only if
    # windows start at multiples of eight.
    labels = _LABEL * (new if windows.stride % 8 == 0 else 1)
    inputs = new * (_INPUT_BOS if settings.packing.bos else _INPUT)
    return round(2 * (tokens * (inputs + labels) + count * _KEY + shards * _FORM_FILES))


def exports(settings: Settings, dtype: str, width: int, rows: int) -> int:
    """Bytes of the files of `export` other than the training set, of one dataset."""
    asked, size = settings.exports, 0
    if asked.anndata:
        size += rows * (width * 4 + _ANNDATA) + _ANNDATA_FILE
    if asked.atlas:
        size += min(rows, settings.atlas.rows) * _ATLAS
    if asked.lance:
        size += rows * (width * _ITEM[dtype] + _LANCE) + _LANCE_FILE
    return size


def shard_files(extraction: Extraction, width: int, rows: int, files: int) -> int:
    """Bytes of files of one layer, with `rows` vectors of `width` dimensions."""
    return round(files * _rows(extraction, width, rows / max(files, 1)))


def alleles(width: int, rows: int, files: int) -> int:
    """Bytes of the dataset of variants of a layer, or with a width of 0 of scores alone: two
    vectors, keys and distances per row."""
    vectors = _vectors(2 * rows, width, 4, _COMPRESSED) if width else 0
    return round(vectors + rows * _ALLELES + files * _ALLELES_FILE)


def tracks(settings: Settings, number: int, rows: int) -> int:
    """Bytes of this many tracks for `export: bigwig`, with some rows on all strands."""
    windows = settings.windows
    # Windows that overlap give two intervals for each, at most.
    intervals = rows if windows.stride >= windows.size else 2 * rows
    return settings.exports.bigwig * number * intervals * _INTERVAL


def head(width: int, sparse: bool, rows: int, bundles: int) -> int:
    """Bytes of the dataset of a head with this many outputs, or at most so many features, per
    row."""
    number = _FEATURE if sparse else _OUTPUT
    return round(rows * (_KEYS + width * number) + bundles * _HEADS_FILE)


def scores(rows: int, shards: int, bundles: int) -> int:
    """Bytes of files with the scores of this many rows: of shards, or of bundles."""
    return rows * _SCORES + shards * _SCORES_SHARD + bundles * _SCORES_PART


def dataset(
    extraction: Extraction, width: int, rows: int, bundles: int, means: list[int], strands: int
) -> int:
    """Bytes of one layer's dataset, with the tables of its levels.

    Parameters
    ----------
    extraction : Extraction
    width, rows : int
        Dimensions of a vector, and number of vectors.
    bundles : int
        Each has part files of its own.
    means : list of int
        Per level, its number of contigs or genomes.
    strands : int
        Rows of each of them.
    """
    counts = [strands * number for number in means]
    levels = sum(
        _vectors(count, width, 4, _COMPRESSED) + count * _KEYS + _LEVEL_FILE for count in counts
    )
    return round(shard_files(extraction, width, rows, bundles) + levels)


def _rows(extraction: Extraction, width: int, rows: float) -> float:
    itemsize = _ITEM[extraction.dtype]
    share = _share(extraction)
    return _vectors(rows, width, itemsize, share) + rows * _KEYS + _EMBEDDING_FILE


def _share(extraction: Extraction) -> float:
    """Size of vectors in a file, relative to memory."""
    if extraction.dtype == "float16":
        return _FLOAT16
    unpooled = extraction.pooling in ("max", "first", "last", {"center": 1}, {"bin": 1})
    return _UNPOOLED if unpooled and extraction.precision != "fp32" else _COMPRESSED


def _vectors(rows: float, width: int, itemsize: int, share: float) -> float:
    """Bytes of vectors in row groups, each with a dictionary and indices into it."""
    group = max(1, min(_GROUP_ROWS, _GROUP_BYTES // (width * itemsize)))
    full, rest = divmod(rows, group)
    return full * _group(group * width, itemsize, share) + _group(rest * width, itemsize, share)


def _group(numbers: float, itemsize: int, share: float) -> float:
    if share != _COMPRESSED or numbers < 2:  # only the dictionary
        return numbers * itemsize * share
    listed = min(numbers, _DICTIONARY // itemsize)
    return numbers * itemsize * share + listed * math.ceil(math.log2(listed)) / 8
