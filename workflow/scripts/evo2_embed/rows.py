"""The rows of a shard: their order, their keys, and where each chunk's rows go."""

import numpy as np
import pyarrow as pa

from evo2_embed.pooling import locate_rows


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
        strand = segments["strand"].astype("U1")
        final = np.lexsort((owner, strand[owner], rows["start"], rank[owner]))
        self.count = len(final)
        self.rows = {key: values[final] for key, values in rows.items()}
        self._place = np.empty(self.count, np.int64)
        self._place[final] = np.arange(self.count)
        self._first = np.searchsorted(owner, np.arange(len(order) + 1))

    def places(self, chunks: np.ndarray) -> np.ndarray:
        """Where the rows of chunks go, chunk after chunk, each one's in the order of its tokens."""
        owners = np.searchsorted(self.segments["chunk"], chunks)
        spans = [self._place[self._first[o] : self._first[o + 1]] for o in owners]
        return np.concatenate(spans) if spans else np.empty(0, np.int64)

    def order(self, row: int) -> tuple[int, int, str, int]:
        """What a row is sorted by: number of its contig in the shard, start, strand, chunk."""
        owner = self.rows["chunk"][row]
        start, strand = int(self.rows["start"][row]), self.segments["strand"][owner]
        return int(self.rank[owner]), start, strand, int(self.segments["chunk"][owner])

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
        }


def contig_ranks(genome: np.ndarray, contig: np.ndarray) -> np.ndarray:
    """Number chunks by contig, in order of appearance: 0 for the first contig's, and so on."""
    new = (genome[1:] != genome[:-1]) | (contig[1:] != contig[:-1])
    return np.concatenate([[0], np.cumsum(new)])[: len(genome)]
