"""The rows of a shard: how many, their coordinates, order and keys.

Pooling is `mean`, `max` or `last` (one row per chunk), or `{"bin": k}` (one row per k bases, in the
direction of the chunk's strand; the last bin may be shorter).
"""

import numpy as np
import pyarrow as pa

from evo2_embed.io.parts import Parts, edges_of
from evo2_embed.io.text import shown


def count_rows(lengths: np.ndarray, pooling: str | dict) -> np.ndarray:
    """Number of rows of each chunk, from its bases: int64, (n,)."""
    if isinstance(pooling, dict):
        return -(-lengths // pooling["bin"])
    return np.ones(len(lengths), np.int64)


def locate_rows(
    chunks: dict[str, np.ndarray | Parts], pooling: str | dict
) -> dict[str, np.ndarray]:
    """Coordinates of the rows of chunks.

    Parameters
    ----------
    chunks : dict of str to ndarray, (n,), or Parts
        `start` and `end`, 0-based and half-open on the forward strand, `strand` and `parts`.
    pooling : str or dict

    Returns
    -------
    dict of str to ndarray, (rows,)
        `chunk` (index into the n chunks), `start`, `end`, `n_tokens`, `exons` and `behind` (bases
        of the chunk after the row, in the direction of its strand). Ordered by chunk; within a
        chunk in the order of its tokens. Rows over the origin of a contig, or after it, have an
        `end` of more than the length of the contig.
    """
    start, end = chunks["start"], chunks["end"]
    lengths = chunks["parts"].bases(start, end)
    counts = count_rows(lengths, pooling)
    chunk = np.repeat(np.arange(len(start)), counts)
    size = pooling["bin"] if isinstance(pooling, dict) else lengths[chunk]
    offset = (np.arange(len(chunk)) - np.repeat(np.cumsum(counts) - counts, counts)) * size
    n_tokens = np.minimum(size, lengths[chunk] - offset)
    behind = lengths[chunk] - offset - n_tokens
    # Tokens of `-` run from the chunk's end to its start.
    left = np.where(chunks["strand"][chunk] == "+", offset, behind)
    row_start = start[chunk] + left
    rows = {"start": row_start, "end": row_start + n_tokens, "exons": np.ones_like(row_start)}
    joined = np.flatnonzero(chunks["parts"].counts[chunk])
    for name, values in _of_parts(chunks, chunk[joined], left[joined], n_tokens[joined]).items():
        rows[name][joined] = values
    return {"chunk": chunk, **rows, "n_tokens": n_tokens, "behind": behind}


def _of_parts(
    chunks: dict[str, np.ndarray | Parts], chunk: np.ndarray, left: np.ndarray, n_tokens: np.ndarray
) -> dict[str, np.ndarray]:
    """`start`, `end` and `exons` of rows of chunks with parts, from the bases of the chunk to their
    left on the forward strand."""
    parts = chunks["parts"]
    begin, stop = parts.unrolled(chunks["start"], chunks["end"])
    # All parts of all chunks end to end.
    edges = edges_of(stop - begin)
    first = edges[parts.edges[chunk]] + left
    last = first + n_tokens - 1
    one, other = (np.searchsorted(edges, base, side="right") - 1 for base in (first, last))
    # An exon over the origin of its contig is two parts.
    goes_on = np.zeros(len(begin), bool)
    goes_on[1:] = (begin[1:] == stop[:-1]) & (parts.start[1:] == 0)
    exon = np.cumsum(~goes_on)
    return {
        "start": begin[one] + first - edges[one],
        "end": begin[other] + last - edges[other] + 1,
        "exons": exon[other] - exon[one] + 1,
    }


class ShardRows:
    """The rows of a shard in their final order: genome, contig, start, strand, chunk.

    Genomes and contigs are in the order of their chunks: that of the sheet and of the FASTA file.

    Parameters
    ----------
    chunks : dict of str to ndarray, (n,), or Parts
        `read.CHUNK_KEYS` of the chunks, in any order.
    pooling : str or dict

    Attributes
    ----------
    chunks : dict of str to ndarray, (n,), or Parts
        The same, sorted by `chunk`, and `bases`, the number of bases of each.
    rank : ndarray of int64, (n,)
        Number of the contig of each chunk, from 0.
    rows : dict of str to ndarray, (count,)
        `chunk` (index into `chunks`), `start`, `end`, `n_tokens`, `context` and `exons` of each
        row. Rows after the origin of a contig come last on it, as `locate_rows` has them.
    count : int
        Number of rows.
    """

    def __init__(self, chunks: dict[str, np.ndarray], pooling: str | dict):
        order = np.argsort(chunks["chunk"], kind="stable")
        self.chunks = chunks = {key: values[order] for key, values in chunks.items()}
        chunks["bases"] = chunks["parts"].bases(chunks["start"], chunks["end"])
        rows = locate_rows(chunks, pooling)
        self.rank = rank = contig_ranks(chunks["genome"], chunks["contig"])
        owner = rows["chunk"]
        rows["context"] = chunks["context"][owner] - rows.pop("behind")
        strand = chunks["strand"].astype("U1")
        final = np.lexsort((owner, strand[owner], rows["start"], rank[owner]))
        self.count = len(final)
        self.rows = {key: values[final] for key, values in rows.items()}
        # From the order of `locate_rows` to the final one, and a chunk's first row in the former.
        self._final_index = np.empty(self.count, np.int64)
        self._final_index[final] = np.arange(self.count)
        self._first = np.searchsorted(owner, np.arange(len(order) + 1))

    def row_index(self, chunk: np.ndarray, number: np.ndarray) -> np.ndarray:
        """Final indices of rows, from their chunk (index into `chunks`) and their number in it."""
        return self._final_index[self._first[chunk] + number]

    def sort_keys(self, start: int, stop: int) -> list[np.ndarray]:
        """What rows [start, stop) are sorted by: number of the contig in the shard, start, strand
        (1 for `-`), chunk."""
        owner = self.rows["chunk"][start:stop]
        minus = (self.chunks["strand"][owner] == "-").astype(np.int8)
        starts = self.rows["start"][start:stop]
        return [self.rank[owner], starts, minus, self.chunks["chunk"][owner]]

    def place(self, row: int) -> str:
        """Where a row is, in words."""
        keys = {name: column[0].as_py() for name, column in self.keys(row, row + 1).items()}
        return (
            f"{keys['genome']}, '{shown(keys['contig'])}', bases {keys['start']} to {keys['end']}, "
            f"strand {keys['strand']}"
        )

    def keys(self, start: int, stop: int) -> dict[str, pa.Array]:
        """Key columns of rows [start, stop)."""
        rows = {key: values[start:stop] for key, values in self.rows.items()}
        taken = {key: values[rows["chunk"]] for key, values in self.chunks.items()}
        # Of a chunk over the origin of its contig, the rows after it begin there anew.
        round_trip = taken["parts"].lengths_of_contigs(taken["end"])
        round_trip[rows["start"] < round_trip] = 0
        return {
            "chunk": pa.array(taken["chunk"]),
            "genome": pa.array(taken["genome"], pa.string()).dictionary_encode(),
            "contig": pa.array(taken["contig"], pa.string()).dictionary_encode(),
            "start": pa.array(rows["start"] - round_trip),
            "end": pa.array(rows["end"] - round_trip),
            "strand": pa.array(taken["strand"], pa.string()),
            "name": pa.array(taken["name"], pa.string()),
            "n_tokens": pa.array(rows["n_tokens"].astype(np.int32)),
            "context": pa.array(rows["context"].astype(np.int32)),
            "exons": pa.array(rows["exons"].astype(np.int32)),
        }


def contig_ranks(genome: np.ndarray, contig: np.ndarray) -> np.ndarray:
    """Number of the contig of each chunk, from 0, in order of appearance: int64, (n,)."""
    new = (genome[1:] != genome[:-1]) | (contig[1:] != contig[:-1])
    return np.concatenate([[0], np.cumsum(new)])[: len(genome)]
