"""Segments to the rows of a training set, in two forms.

Labels equal the inputs: a causal model, or its loss, shifts them, so that token i is predicted from
the tokens before it. Tokens that cannot be predicted have the ignore index: padding, and the first
token of a segment (in a packed row it follows another segment).
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from evo2_embed.finetune.segments import Segments
from evo2_embed.pack.assign import edges_of
from evo2_embed.pack.rows import pad_rows

IGNORE = -100  # torch's cross entropy, and the models of transformers, ignore it
GROUP_TOKENS = 1 << 20  # tokens per row group, which a loader reads at once

_TOKENS = [
    pa.field("input_ids", pa.list_(pa.int32())),
    pa.field("attention_mask", pa.list_(pa.int8())),
    pa.field("position_ids", pa.list_(pa.int32())),
]
_LABELS = pa.field("labels", pa.list_(pa.int32()))
_KEYS = {
    "genome": pa.string(),
    "contig": pa.string(),
    "start": pa.int64(),
    "end": pa.int64(),
    "strand": pa.string(),
}

# Segments end to end. Segment i has the tokens cu_seqlens[i] to cu_seqlens[i + 1]. Positions start
# at 0 in each segment, and the lists of keys have one entry per segment.
PACKED = pa.schema(
    [
        *_TOKENS,
        pa.field("cu_seqlens", pa.list_(pa.int32())),
        _LABELS,
        *(pa.field(name, pa.list_(kind)) for name, kind in _KEYS.items()),
    ]
)

# One segment per row, all rows of one width; `length` counts tokens without padding.
PADDED = pa.schema(
    [
        *_TOKENS,
        _LABELS,
        pa.field("length", pa.int32()),
        *(pa.field(name, kind) for name, kind in _KEYS.items()),
    ]
)

SCHEMAS = {"packed": PACKED, "padded": PADDED}


def encodings(schema: pa.Schema) -> dict:
    """Options of pyarrow's writer for a form's columns.

    Positions are stored as differences, which are all 1. As numbers they took more space than all
    other columns together if windows are long.
    """
    others = [name for name in schema.names if name != "position_ids"]
    lists = [name for name in others if pa.types.is_list(schema.field(name).type)]
    return {
        "use_dictionary": [f"{name}.list.element" if name in lists else name for name in others],
        "column_encoding": {"position_ids.list.element": "DELTA_BINARY_PACKED"},
    }


def packed_rows(segments: Segments, packs: list[np.ndarray]) -> Iterator[pa.Table]:
    """Row groups of the packed form (`PACKED`).

    Parameters
    ----------
    segments : Segments
    packs : list of ndarray
        Per row, the indices of its segments.
    """
    sizes = [int(segments.lengths[pack].sum()) for pack in packs]
    for first, stop in _row_groups(sizes):
        yield _packed(segments, packs[first:stop])


def padded_rows(
    segments: Segments, members: np.ndarray, width: int, pad: int
) -> Iterator[pa.Table]:
    """Row groups of the padded form (`PADDED`).

    Parameters
    ----------
    segments : Segments
    members : ndarray
        Indices of the segments, one per row.
    width : int
        Tokens per row.
    pad : int
        Padding token, on the right.
    """
    for first, stop in _row_groups([width] * len(members)):
        yield _padded(segments, members[first:stop], width, pad)


def _row_groups(sizes: list[int]) -> Iterator[tuple[int, int]]:
    """First row, and end, of groups of about `GROUP_TOKENS` tokens."""
    groups = edges_of(sizes)[:-1] // GROUP_TOKENS
    borders = [0, *(np.flatnonzero(np.diff(groups)) + 1).tolist(), len(sizes)]
    return zip(borders[:-1], borders[1:], strict=True)


def _packed(segments: Segments, packs: list[np.ndarray]) -> pa.Table:
    members = np.concatenate(packs)
    lengths = segments.lengths[members]
    counts = np.array([len(pack) for pack in packs])
    ids = segments.tokens_of(members).astype(np.int32)
    ends = edges_of(lengths)
    labels = ids.copy()
    labels[ends[:-1]] = IGNORE
    borders = edges_of(counts)  # edges of rows, in segments
    rows = ends[borders]  # edges of rows, in tokens
    cu_seqlens = [edges_of(segments.lengths[pack]) for pack in packs]
    columns = {
        "input_ids": _lists(rows, ids),
        "attention_mask": _lists(rows, np.ones(len(ids), np.int8)),
        "position_ids": _lists(rows, _positions(ends)),
        "cu_seqlens": _lists(edges_of(counts + 1), np.concatenate(cu_seqlens).astype(np.int32)),
        "labels": _lists(rows, labels),
    }
    keys = segments.keys[members].to_arrow()
    for name, kind in _KEYS.items():
        columns[name] = _lists(borders, keys[name].combine_chunks().cast(kind))
    return pa.table(columns, PACKED)


def _padded(segments: Segments, members: np.ndarray, width: int, pad: int) -> pa.Table:
    lengths = segments.lengths[members]
    widths = np.full(len(members), width)
    ids, mask = pad_rows(segments.tokens_of(members), lengths, widths, pad)
    rows = edges_of(widths)
    labels = np.where(mask, ids, np.int32(IGNORE)).astype(np.int32)
    labels[rows[:-1]] = IGNORE
    columns = {
        "input_ids": _lists(rows, ids.astype(np.int32)),
        "attention_mask": _lists(rows, mask.astype(np.int8)),
        "position_ids": _lists(rows, _positions(rows)),
        "labels": _lists(rows, labels),
        "length": pa.array(lengths.astype(np.int32)),
    }
    keys = segments.keys[members].to_arrow()
    columns |= {name: keys[name].cast(kind) for name, kind in _KEYS.items()}
    return pa.table(columns, PADDED)


def _positions(ends: np.ndarray) -> np.ndarray:
    """0, 1, 2 ... starting at every edge."""
    positions = np.arange(ends[-1]) - np.repeat(ends[:-1], np.diff(ends))
    return positions.astype(np.int32)


def _lists(edges: np.ndarray, values) -> pa.Array:
    """A column of lists whose items are end to end in memory."""
    return pa.ListArray.from_arrays(edges.astype(np.int32), values)
