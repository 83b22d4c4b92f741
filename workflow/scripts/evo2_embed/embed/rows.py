"""The rows of a shard: how many, their coordinates, order and keys.

Pooling is `mean`, `max` or `last` (one row per chunk), or `{"bin": k}` (one row per k bases, in the
direction of the chunk's strand; the last bin may be shorter).
"""

import numpy as np
import pyarrow as pa

from evo2_embed.io.text import shown


def count_rows(lengths: np.ndarray, pooling: str | dict) -> np.ndarray:
    """Number of rows of each chunk, from its bases: int64, (n,)."""
    if isinstance(pooling, dict):
        return -(-lengths // pooling["bin"])
    return np.ones(len(lengths), np.int64)


def locate_rows(
    start: np.ndarray, end: np.ndarray, strand: np.ndarray, pooling: str | dict
) -> dict[str, np.ndarray]:
    """Coordinates of the rows of chunks.

    Parameters
    ----------
    start, end : ndarray of int64, (n,)
        The chunks, 0-based and half-open on the forward strand.
    strand : ndarray of str, (n,)
    pooling : str or dict

    Returns
    -------
    dict of str to ndarray, (rows,)
        `chunk` (index into the n chunks), `start`, `end`, `n_tokens` and `behind` (bases of the
        chunk after the row, in the direction of its strand). Ordered by chunk; within a chunk in
        the order of its tokens.
    """
    lengths = end - start
    counts = count_rows(lengths, pooling)
    chunk = np.repeat(np.arange(len(start)), counts)
    size = pooling["bin"] if isinstance(pooling, dict) else lengths[chunk]
    offset = (np.arange(len(chunk)) - np.repeat(np.cumsum(counts) - counts, counts)) * size
    n_tokens = np.minimum(size, lengths[chunk] - offset)
    forward = strand[chunk] == "+"
    # Tokens of `-` run from the chunk's end to its start.
    row_start = np.where(forward, start[chunk] + offset, end[chunk] - offset - n_tokens)
    return {
        "chunk": chunk,
        "start": row_start,
        "end": row_start + n_tokens,
        "n_tokens": n_tokens,
        "behind": lengths[chunk] - offset - n_tokens,
    }


class ShardRows:
    """The rows of a shard in their final order: genome, contig, start, strand, chunk.

    Genomes and contigs are in the order of their chunks: that of the sheet and of the FASTA file.

    Parameters
    ----------
    chunks : dict of str to ndarray, (n,)
        `read.CHUNK_KEYS` of the chunks, in any order.
    pooling : str or dict

    Attributes
    ----------
    chunks : dict of str to ndarray, (n,)
        The same, sorted by `chunk`.
    rank : ndarray of int64, (n,)
        Number of the contig of each chunk, from 0.
    rows : dict of str to ndarray, (count,)
        `chunk` (index into `chunks`), `start`, `end`, `n_tokens` and `context` of each row.
    count : int
        Number of rows.
    """

    def __init__(self, chunks: dict[str, np.ndarray], pooling: str | dict):
        order = np.argsort(chunks["chunk"], kind="stable")
        self.chunks = chunks = {key: values[order] for key, values in chunks.items()}
        rows = locate_rows(chunks["start"], chunks["end"], chunks["strand"], pooling)
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
        return {
            "chunk": pa.array(taken["chunk"]),
            "genome": pa.array(taken["genome"], pa.string()).dictionary_encode(),
            "contig": pa.array(taken["contig"], pa.string()).dictionary_encode(),
            "start": pa.array(rows["start"]),
            "end": pa.array(rows["end"]),
            "strand": pa.array(taken["strand"], pa.string()),
            "name": pa.array(taken["name"], pa.string()),
            "n_tokens": pa.array(rows["n_tokens"].astype(np.int32)),
            "context": pa.array(rows["context"].astype(np.int32)),
        }


def contig_ranks(genome: np.ndarray, contig: np.ndarray) -> np.ndarray:
    """Number of the contig of each chunk, from 0, in order of appearance: int64, (n,)."""
    new = (genome[1:] != genome[:-1]) | (contig[1:] != contig[:-1])
    return np.concatenate([[0], np.cumsum(new)])[: len(genome)]
