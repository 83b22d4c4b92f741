"""The rows of a pack file: tokens and keys of packs, one row group at a time."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evo2_embed.chunk.stretches import Stretches
from evo2_embed.genomes.blocks import Buffers
from evo2_embed.genomes.sequences import Sequences
from evo2_embed.io.errors import InputError
from evo2_embed.io.parts import Parts
from evo2_embed.io.tables import PACKS, VARIANT_KEYS, to_numpy
from evo2_embed.pack.assign import Assignment, Forks, edges_of
from evo2_embed.pack.read import PLAIN_KEYS
from evo2_embed.settings.jobs import Packing

BOS = 0  # EOD of CharLevelTokenizer
PADS = {"PAD": 1, "EOS": 0}  # pad_id and eos_id of CharLevelTokenizer

ROW_GROUP_TOKENS = 4 << 20


def stretches_of(table: pa.Table) -> Stretches:
    """The stretches of chunks (`tables.CHUNKS`)."""
    names = ("start", "end", "stretch", "context", "parts", "length")
    columns = {name: to_numpy(table[name]) for name in names}
    columns["minus"] = pc.equal(table["strand"], "-").to_numpy().astype(bool)
    columns["parent"], columns["fork"] = fork_columns(table)
    columns["insert"] = table["insert"].to_numpy()
    return Stretches(columns)


def fork_columns(table: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """The columns `parent` and `fork` of chunks: int64, (n,); a chunk without has -1 and 0."""
    parent, fork = (
        pc.fill_null(table[name], nothing).to_numpy()
        for name, nothing in (("parent", -1), ("fork", 0))
    )
    return parent, fork


def forks_of(stretches: Stretches, bos: int, source: str) -> Forks:
    """Which of the stretches are forks, for `assign_stretches`.

    Parameters
    ----------
    stretches : Stretches
    bos : int
        Tokens before the first base of a stretch: 0 or 1.
    source : str
        The chunk table, for errors.

    Raises
    ------
    InputError
        If a parent is not among them, is a fork, or ends before the fork point.
    """
    is_fork = stretches.parent >= 0
    place = np.searchsorted(stretches.number, stretches.parent)
    found = stretches.number[np.minimum(place, len(place) - 1)] if len(place) else place
    bad = np.flatnonzero(is_fork & (found != stretches.parent))
    parent = np.where(is_fork, place, -1)
    forks = Forks(parent, np.where(is_fork, stretches.fork + bos, 0))
    fault = (
        f"stretch {stretches.number[bad[0]]} is a fork of stretch {stretches.parent[bad[0]]}, "
        "which does not exist"
        if len(bad)
        else forks.fault(stretches.tokens(bos), stretches.number)
    )
    if fault:
        raise InputError(f"{source}: {fault}; delete {source} and rerun to redo it")
    return forks


def pack_rows(
    segments: Assignment,
    table: pa.Table,
    stretches: Stretches,
    sequences: Sequences,
    packing: Packing,
    first_pack: int = 0,
    schema: pa.Schema = PACKS,
) -> Iterator[pa.RecordBatch]:
    """The rows of packs, in batches of about `ROW_GROUP_TOKENS` tokens.

    Parameters
    ----------
    segments : Assignment
        The segments of each pack.
    table : pyarrow.Table
        Chunks (`tables.CHUNKS`).
    stretches : Stretches
        Those of the chunks.
    sequences : Sequences
    packing : Packing
    first_pack : int
        Number of the first pack.
    schema : pyarrow.Schema
        `tables.PACKS`, perhaps without `parent` or without `tables.VARIANT_KEYS`.

    Yields
    ------
    pyarrow.RecordBatch
        Of that schema; valid until the next one is requested, which reuses its memory.
    """
    rows = _Rows(segments, table, stretches, sequences, packing, first_pack, schema)
    first, tokens = 0, 0
    sums = np.diff(edges_of(segments.length)[segments.edges]).tolist()
    for pack, count in enumerate(sums, 1):
        tokens += count
        if tokens >= ROW_GROUP_TOKENS or pack == len(sums):
            yield rows.batch(first, pack)
            first, tokens = pack, 0


class _Rows:
    """The rows of a pack file; stretches that are open between two packs stay in memory."""

    def __init__(
        self,
        segments: Assignment,
        table: pa.Table,
        stretches: Stretches,
        sequences: Sequences,
        packing: Packing,
        first_pack: int,
        schema: pa.Schema,
    ):
        self.segments, self.table, self.stretches = segments, table, stretches
        self.first_pack, self.schema = first_pack, schema
        self.sequences, self.packing, self.bos = sequences, packing, int(packing.bos)
        self.buffers = Buffers()
        self.open: dict[int, np.ndarray] = {}
        self.parts = Parts.from_arrow(table["parts"])
        self.windows = self._windows()
        self.chunks, self.owners = self._ends()

    def _windows(self) -> np.ndarray:
        """What `Sequences` checks of each chunk, stretch after stretch: int64, (n, 5)."""
        stretches, names = self.stretches, ("length", "context", "crc32", "start", "end")
        columns = [self.table[name].to_numpy()[stretches.order] for name in names]
        length, context, *others = columns
        counts = np.diff(stretches.edges)
        bases, minus = np.repeat(stretches.bases, counts), np.repeat(stretches.minus, counts)
        offset = np.where(minus, bases - context, context - length)
        offset[np.repeat(stretches.has_insert, counts)] = 0
        return np.stack([offset, offset + length, *others], axis=1, dtype=np.int64)

    def _ends(self) -> tuple[np.ndarray, np.ndarray]:
        """Indices of the chunks, and of the segments that they end in; in the order of these."""
        segments, stretches = self.segments, self.stretches
        context = self.table["context"].to_numpy()[stretches.order]
        # Starts of segments and ends of chunks, in tokens, if all stretches lay end to end. A chunk
        # ends in the last segment that starts before its end.
        first = edges_of(stretches.tokens(self.bos))[:-1] - stretches.shared(self.bos)
        starts = first[segments.stretch] + segments.offset
        ends = np.repeat(first, np.diff(stretches.edges)) + self.bos + context
        by_start = np.argsort(starts)
        owners = by_start[np.searchsorted(starts[by_start], ends) - 1]
        order = np.argsort(owners, kind="stable")
        return stretches.order[order], owners[order]

    def batch(self, first: int, stop: int) -> pa.RecordBatch:
        """The rows of the packs [first, stop)."""
        start, end = self.segments.edges[[first, stop]].tolist()
        lengths = self.segments.length[start:end]
        counts = np.diff(self.segments.edges[first : stop + 1])
        # Segment i has the tokens ends[i] to ends[i + 1], pack j the segments edges[j] to
        # edges[j + 1], and its string of bytes goes from borders[j] to borders[j + 1].
        ends, edges = edges_of(lengths), edges_of(counts)
        tokens = self.buffers.take("tokens", int(ends[-1]))
        self._fill(tokens, ends, start, end)
        widths, borders = np.zeros(len(counts), np.int32), ends[edges]
        mask = pa.nulls(len(counts), pa.large_binary())
        if self.packing.strategy == "padded":
            widths = np.maximum.reduceat(lengths, edges[:-1]).astype(np.int32)
            borders = edges_of(widths.astype(np.int64) * counts)
            pad = PADS[self.packing.pad]
            tokens, real = pad_rows(tokens, lengths, np.repeat(widths, counts), pad)
            mask = _bytes(borders, real)
        # A pack of n segments has n + 1 numbers in cu_seqlens, the first of which is 0.
        owner = np.repeat(np.arange(len(counts)), counts + 1)
        cu_seqlens = ends[np.arange(len(owner)) - owner] - ends[edges[owner]]

        def lists(name: str, values: np.ndarray) -> pa.Array:
            return _lists(name, edges, pa.array(values))

        columns = {
            "pack": pa.array(self.first_pack + np.arange(first, stop, dtype=np.int32)),
            "tokens": _bytes(borders, tokens),
            "width": pa.array(widths),
            "mask": mask,
            "cu_seqlens": _lists("cu_seqlens", edges_of(counts + 1), pa.array(cu_seqlens)),
            "stretch": lists("stretch", self.stretches.number[self.segments.stretch[start:end]]),
            "position": lists("position", self.segments.offset[start:end]),
            "left": lists("left", self.segments.remaining[start:end]),
            **self._of_chunks(first, stop),
        }
        if "parent" in self.schema.names:
            parent = self.segments.parent[start:end]
            numbers = np.where(parent < 0, -1, self.stretches.number[parent])
            columns["parent"] = lists("parent", numbers)
        fields = [columns[name] for name in self.schema.names]
        return pa.RecordBatch.from_arrays(fields, schema=self.schema)

    def _of_chunks(self, first: int, stop: int) -> dict[str, pa.Array]:
        """Keys of the chunks that end in the packs [first, stop), and `segment`, where they end."""
        borders = self.segments.edges[first : stop + 1]
        edges = np.searchsorted(self.owners, borders)
        mine = slice(edges[0], edges[-1])
        segment = self.owners[mine] - np.repeat(borders[:-1], np.diff(edges))
        names = [*PLAIN_KEYS, *(name for name in VARIANT_KEYS if name in self.schema.names)]
        keys, edges = self.table.select(names).take(self.chunks[mine]), edges - edges[0]
        columns = {name: _lists(name, edges, keys[name].combine_chunks()) for name in names}
        columns["parts"] = self._parts(self.chunks[mine], edges)
        return {"segment": _lists("segment", edges, pa.array(segment)), **columns}

    def _parts(self, chunks: np.ndarray, edges: np.ndarray) -> pa.Array:
        """The parts of chunks, a list per pack; null for a pack without."""
        parts = self.parts[chunks]
        some = np.diff(parts.edges[edges]) > 0
        lists = pa.ListArray.from_arrays(2 * parts.edges.astype(np.int32), parts.values)
        column = _lists("parts", edges, lists)
        return pc.if_else(pa.array(some), column, pa.scalar(None, column.type))

    def _fill(self, tokens: np.ndarray, ends: np.ndarray, start: int, end: int) -> None:
        """Write the tokens of the segments [start, end), end to end."""
        segments = self.segments
        stretch = segments.stretch[start:end]
        first = self.stretches.order[self.stretches.edges[stretch]]
        keys = self.table.select(["genome", "contig", "strand"]).take(first)
        names = (keys[name].to_pylist() for name in ("genome", "contig", "strand"))
        # Of a fork, the tokens of its parent are not read.
        offset = segments.offset[start:end] - self.stretches.shared(int(self.bos))[stretch]
        remaining = segments.remaining[start:end]
        columns = (column.tolist() for column in (stretch, offset, remaining, ends[:-1], ends[1:]))
        for index, before, after, begin, stop, *key in zip(*columns, *names, strict=True):
            out = tokens[begin:stop]
            if not before and not after:
                self._read(index, key, out)
                continue
            # The whole stretch is read at once, for its windows' checksums, and kept to its end.
            if not before:
                self.open[index] = np.empty(stop - begin + after, np.uint8)
                self._read(index, key, self.open[index])
            out[:] = self.open[index][before : before + stop - begin]
            if not after:
                del self.open[index]

    def _read(self, index: int, key: list[str], out: np.ndarray) -> None:
        """Write the tokens of a whole stretch of a genome, contig and strand, after its BOS; of a
        fork those after its fork point."""
        first, last = self.stretches.edges[index : index + 2]
        intervals, windows = self.stretches.intervals(index), self.windows[first:last]
        insert = self.stretches.insert[index]
        if self.stretches.parent[index] >= 0:
            # Its window is read at once, for its checksum.
            before = self.stretches.before_fork(index)
            window = self.buffers.take("window", before + len(out))
            self.sequences.copy_tokens(*key, intervals, windows, window, insert)
            out[:] = window[before:]
            return
        if self.bos:
            out[0] = BOS
        self.sequences.copy_tokens(*key, intervals, windows, out[self.bos :], insert)


def pad_rows(
    tokens: np.ndarray, lengths: np.ndarray, widths: np.ndarray, pad: int
) -> tuple[np.ndarray, np.ndarray]:
    """Segments as rows of `widths` tokens, end to end.

    Parameters
    ----------
    tokens : ndarray of uint8, (lengths.sum(),)
        Segments end to end.
    lengths, widths : ndarray, (n,)
        Tokens of each segment, and of its row.
    pad : int
        Token that fills rows on the right.

    Returns
    -------
    padded : ndarray of uint8, (widths.sum(),)
    mask : ndarray of bool, (widths.sum(),)
        False for padding.
    """
    column = np.arange(widths.sum()) - np.repeat(edges_of(widths)[:-1], widths)
    mask = column < np.repeat(lengths, widths)
    padded = np.full(len(mask), pad, np.uint8)
    padded[mask] = tokens
    return padded, mask


def _bytes(edges: np.ndarray, values: np.ndarray) -> pa.Array:
    """A column of byte strings from bytes that lie end to end, without a copy."""
    buffers = [None, pa.py_buffer(edges), pa.py_buffer(values)]
    return pa.Array.from_buffers(pa.large_binary(), len(edges) - 1, buffers)


def _lists(name: str, edges: np.ndarray, values: pa.Array) -> pa.Array:
    """A column of lists from items that lie end to end."""
    kind = PACKS.field(name).type
    return pa.LargeListArray.from_arrays(edges, values.cast(kind.value_type), type=kind)
