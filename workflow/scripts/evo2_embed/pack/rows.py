"""The rows of a pack file: tokens and keys of packs, as many at a time as are written together."""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evo2_embed.chunk.stretches import Stretches
from evo2_embed.genomes.blocks import Buffers
from evo2_embed.genomes.sequences import Sequences
from evo2_embed.io.tables import PACKS
from evo2_embed.pack.assign import Pieces, edges_of

BOS = 0  # EOD of CharLevelTokenizer
PADS = {"PAD": 1, "EOS": 0}  # pad_id and eos_id of CharLevelTokenizer

ROW_GROUP_TOKENS = 4 << 20

_KEYS = ("chunk", "genome", "contig", "start", "end", "strand", "name", "context")


def stretches_of(table: pa.Table) -> Stretches:
    """The stretches of chunks (`tables.CHUNKS`)."""
    names = ("start", "end", "stretch", "context")
    minus = pc.equal(table["strand"], "-").to_numpy().astype(bool)
    return Stretches({**{name: table[name].to_numpy() for name in names}, "minus": minus})


def pack_rows(
    pieces: Pieces, table: pa.Table, stretches: Stretches, sequences: Sequences, packing: dict
) -> Iterator[pa.RecordBatch]:
    """The rows of packs, in batches of about `ROW_GROUP_TOKENS` tokens.

    Parameters
    ----------
    pieces : Pieces
        What each pack has of the stretches.
    table : pyarrow.Table
        Chunks (`tables.CHUNKS`).
    stretches : Stretches
        Those of the chunks.
    sequences : Sequences
    packing : dict
        The section of the configuration.

    Yields
    ------
    pyarrow.RecordBatch
        `tables.PACKS`; good until the next one is asked for.
    """
    rows = _Rows(pieces, table, stretches, sequences, packing)
    first, tokens = 0, 0
    sums = np.diff(edges_of(pieces.length)[pieces.edges]).tolist()
    for pack, count in enumerate(sums, 1):
        tokens += count
        if tokens >= ROW_GROUP_TOKENS or pack == len(sums):
            yield rows.batch(first, pack)
            first, tokens = pack, 0


class _Rows:
    """The rows of a pack file; stretches that are between two pieces stay in memory."""

    def __init__(
        self,
        pieces: Pieces,
        table: pa.Table,
        stretches: Stretches,
        sequences: Sequences,
        packing: dict,
    ):
        self.pieces, self.table, self.stretches = pieces, table, stretches
        self.sequences, self.packing, self.bos = sequences, packing, int(packing["bos"])
        self.buffers = Buffers()
        self.open: dict[int, np.ndarray] = {}
        columns = [table[name].to_numpy() for name in ("start", "end", "crc32")]
        self.windows = np.stack(columns, axis=1, dtype=np.int64)[stretches.order]
        self.chunks, self.owners = self._ends()

    def _ends(self) -> tuple[np.ndarray, np.ndarray]:
        """The chunks in the order of the pieces that they end in, and these pieces."""
        pieces, stretches = self.pieces, self.stretches
        context = self.table["context"].to_numpy()[stretches.order]
        # Places of pieces and of the chunks' last tokens, in all stretches end to end.
        first = edges_of(stretches.bases + self.bos)[:-1]
        starts = first[pieces.stretch] + pieces.position
        ends = np.repeat(first, np.diff(stretches.edges)) + self.bos + context
        in_place = np.argsort(starts)
        owners = in_place[np.searchsorted(starts[in_place], ends) - 1]
        order = np.argsort(owners, kind="stable")
        return stretches.order[order], owners[order]

    def batch(self, first: int, stop: int) -> pa.RecordBatch:
        """The rows of packs `first` to `stop`."""
        start, end = self.pieces.edges[[first, stop]].tolist()
        lengths = self.pieces.length[start:end]
        counts = np.diff(self.pieces.edges[first : stop + 1])
        ends, edges = edges_of(lengths), edges_of(counts)  # of segments in tokens, of packs in them
        tokens = self.buffers.take("tokens", int(ends[-1]))
        self._fill(tokens, ends, start, end)
        widths, places = np.zeros(len(counts), np.int32), ends[edges]  # of packs in tokens
        mask = pa.nulls(len(counts), pa.large_binary())
        if self.packing["strategy"] == "padded":
            widths = np.maximum.reduceat(lengths, edges[:-1]).astype(np.int32)
            places = edges_of(widths.astype(np.int64) * counts)
            pad = PADS[self.packing["pad"]]
            tokens, real = pad_rows(tokens, lengths, np.repeat(widths, counts), pad)
            mask = _bytes(places, real)
        # A pack of n segments has n + 1 ends, the first of which is 0.
        owner = np.repeat(np.arange(len(counts)), counts + 1)
        cu_seqlens = ends[np.arange(len(owner)) - owner] - ends[edges[owner]]
        columns = {
            "pack": pa.array(np.arange(first, stop, dtype=np.int32)),
            "tokens": _bytes(places, tokens),
            "width": pa.array(widths),
            "mask": mask,
            "cu_seqlens": _lists("cu_seqlens", edges_of(counts + 1), pa.array(cu_seqlens)),
            "stretch": self._of_pieces("stretch", edges, start, self.stretches.number),
            "position": self._of_pieces("position", edges, start),
            "left": self._of_pieces("left", edges, start),
            **self._of_chunks(first, stop),
        }
        return pa.RecordBatch.from_arrays([columns[field.name] for field in PACKS], schema=PACKS)

    def _of_pieces(
        self, name: str, edges: np.ndarray, start: int, numbers: np.ndarray | None = None
    ) -> pa.Array:
        values = getattr(self.pieces, name)[start : start + int(edges[-1])]
        return _lists(name, edges, pa.array(values if numbers is None else numbers[values]))

    def _of_chunks(self, first: int, stop: int) -> dict[str, pa.Array]:
        """Keys of the chunks that end in packs, and the segments that they end in."""
        borders = self.pieces.edges[first : stop + 1]
        edges = np.searchsorted(self.owners, borders)
        mine = slice(edges[0], edges[-1])
        segment = self.owners[mine] - np.repeat(borders[:-1], np.diff(edges))
        keys, edges = self.table.select(_KEYS).take(self.chunks[mine]), edges - edges[0]
        columns = {name: _lists(name, edges, keys[name].combine_chunks()) for name in _KEYS}
        return {"segment": _lists("segment", edges, pa.array(segment)), **columns}

    def _fill(self, tokens: np.ndarray, ends: np.ndarray, start: int, end: int) -> None:
        """Write the tokens of pieces end to end."""
        pieces = self.pieces
        stretch = pieces.stretch[start:end]
        first = self.stretches.order[self.stretches.edges[stretch]]
        keys = self.table.select(["genome", "contig", "strand"]).take(first)
        names = (keys[name].to_pylist() for name in ("genome", "contig", "strand"))
        numbers = (stretch, pieces.position[start:end], pieces.left[start:end], ends[:-1], ends[1:])
        rows = zip(*(column.tolist() for column in numbers), *names, strict=True)
        for number, position, left, begin, stop, *place in rows:
            out = tokens[begin:stop]
            if not position and not left:
                self._read(number, place, out)
                continue
            if not position:
                self.open[number] = np.empty(stop - begin + left, np.uint8)
                self._read(number, place, self.open[number])
            out[:] = self.open[number][position : position + stop - begin]
            if not left:
                del self.open[number]

    def _read(self, number: int, place: list[str], out: np.ndarray) -> None:
        """Write the tokens of a whole stretch, behind its BOS."""
        if self.bos:
            out[0] = BOS
        stretches = self.stretches
        span = int(stretches.start[number]), int(stretches.end[number])
        first, last = stretches.edges[number : number + 2]
        self.sequences.copy_tokens(*place, *span, self.windows[first:last], out[self.bos :])


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


def _bytes(edges: np.ndarray, values: np.ndarray) -> pa.Array:
    """A column of byte strings that lie end to end, without a copy."""
    buffers = [None, pa.py_buffer(edges), pa.py_buffer(values)]
    return pa.Array.from_buffers(pa.large_binary(), len(edges) - 1, buffers)


def _lists(name: str, edges: np.ndarray, values: pa.Array) -> pa.Array:
    """A column of lists whose items lie end to end."""
    kind = PACKS.field(name).type
    return pa.LargeListArray.from_arrays(edges, values.cast(kind.value_type), type=kind)
