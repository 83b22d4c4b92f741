"""The rows of chunks and shards: how many, where they lie, their order and their keys.

Pooling is `mean`, `max`, `last` (one row a chunk) or `{"bin": k}` (a row for every k bases, counted
in the direction of the chunk's strand; the last bin may be shorter).
"""

import numpy as np
import pyarrow as pa


def count_rows(lengths: np.ndarray, pooling: str | dict) -> np.ndarray:
    """Rows of each chunk, from its number of bases."""
    if isinstance(pooling, dict):
        return -(-lengths // pooling["bin"])
    return np.ones(len(lengths), np.int64)


def locate_rows(
    start: np.ndarray, end: np.ndarray, strand: np.ndarray, pooling: str | dict
) -> dict[str, np.ndarray]:
    """Where the rows of chunks lie.

    Parameters
    ----------
    start, end : ndarray of int64, (n,)
        The chunks, 0-based and half-open on the forward strand.
    strand : ndarray of str, (n,)
    pooling : str or dict

    Returns
    -------
    dict
        `chunk` (index into the n chunks), `start`, `end`, `n_tokens` and `behind` (bases of the
        chunk after the row, in the direction of its strand), (rows,) each: chunk after chunk, each
        one's rows in the order of its tokens.
    """
    lengths = end - start
    counts = count_rows(lengths, pooling)
    chunk = np.repeat(np.arange(len(start)), counts)
    size = pooling["bin"] if isinstance(pooling, dict) else lengths[chunk]
    offset = (np.arange(len(chunk)) - np.repeat(np.cumsum(counts) - counts, counts)) * size
    n_tokens = np.minimum(size, lengths[chunk] - offset)
    forward = strand[chunk] == "+"
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
    """

    def __init__(self, segments: dict[str, np.ndarray], pooling: str | dict):
        order = np.argsort(segments["chunk"], kind="stable")
        self.segments = segments = {key: values[order] for key, values in segments.items()}
        rows = locate_rows(segments["start"], segments["end"], segments["strand"], pooling)
        self.rank = rank = contig_ranks(segments["genome"], segments["contig"])
        owner = rows["chunk"]
        rows["context"] = segments["context"][owner] - rows.pop("behind")
        strand = segments["strand"].astype("U1")
        final = np.lexsort((owner, strand[owner], rows["start"], rank[owner]))
        self.count = len(final)
        self.rows = {key: values[final] for key, values in rows.items()}
        self._place = np.empty(self.count, np.int64)
        self._place[final] = np.arange(self.count)
        self._first = np.searchsorted(owner, np.arange(len(order) + 1))

    def place(self, chunk: np.ndarray, number: np.ndarray) -> np.ndarray:
        """Where rows go, from the index of their chunk and their number in it, (n,) each."""
        return self._place[self._first[chunk] + number]

    def sort_keys(self, start: int, stop: int) -> list[np.ndarray]:
        """What rows [start, stop) are sorted by: number of the contig in the shard, start, strand
        (1 for `-`), chunk."""
        owner = self.rows["chunk"][start:stop]
        minus = (self.segments["strand"][owner] == "-").astype(np.int8)
        starts = self.rows["start"][start:stop]
        return [self.rank[owner], starts, minus, self.segments["chunk"][owner]]

    def keys(self, start: int, stop: int) -> dict[str, pa.Array]:
        """Key columns of rows [start, stop)."""
        rows = {key: values[start:stop] for key, values in self.rows.items()}
        taken = {key: values[rows["chunk"]] for key, values in self.segments.items()}
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
    """Number chunks by contig, in order of appearance: 0 for the first contig's, and so on."""
    new = (genome[1:] != genome[:-1]) | (contig[1:] != contig[:-1])
    return np.concatenate([[0], np.cumsum(new)])[: len(genome)]
