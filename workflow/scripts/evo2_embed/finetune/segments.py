"""A shard's segments in the order of their chunks, independent of their packs."""

from dataclasses import dataclass

import numpy as np
import polars as pl
import pyarrow.parquet as pq

from evo2_embed.pack.assign import edges_of
from evo2_embed.pack.read import read_chunk_keys, read_packs

_KEYS = {
    "chunk": pl.Int64,
    "genome": pl.String,
    "contig": pl.String,
    "start": pl.Int64,
    "end": pl.Int64,
    "strand": pl.String,
    "context": pl.Int64,
}


@dataclass(frozen=True)
class Segments:
    """Chunks with their tokens.

    Attributes
    ----------
    keys : polars.DataFrame
        genome, contig, start, end, strand per chunk, in the order of the chunk table.
    tokens : ndarray of uint8
        All tokens end to end, with BOS if the packs have one.
    edges : ndarray, (n + 1,)
        Segment i has the tokens edges[i] to edges[i + 1].
    """

    keys: pl.DataFrame
    tokens: np.ndarray
    edges: np.ndarray

    @property
    def lengths(self) -> np.ndarray:
        """Tokens of each segment."""
        return np.diff(self.edges)

    def tokens_of(self, members: np.ndarray) -> np.ndarray:
        """Tokens of some segments, end to end in this order."""
        starts, ends = self.edges[members].tolist(), self.edges[members + 1].tolist()
        return np.concatenate([self.tokens[a:b] for a, b in zip(starts, ends, strict=True)])


def read_shard(file: pq.ParquetFile, source: str, bos: bool) -> Segments:
    """All segments of a pack file, each a complete chunk. Takes one byte of memory per token.

    Parameters
    ----------
    file : pyarrow.parquet.ParquetFile
        Of `tables.PACKS`.
    source : str
        Name of the file in errors.
    bos : bool
        Whether each segment starts with a BOS.

    Raises
    ------
    InputError
        If a pack's lists are inconsistent.
    """
    found = read_chunk_keys(file)
    keys = pl.DataFrame({name: found[name] for name in _KEYS}, schema=_KEYS).sort("chunk")
    chunks = keys["chunk"].to_numpy()
    # The context of a complete chunk is its own bases.
    edges = edges_of(keys["context"].to_numpy() + int(bos))
    tokens = np.empty(edges[-1], np.uint8)
    for pack in read_packs(file, source):
        # Without padding, the segments of a pack are end to end.
        mine = pack["tokens"] if pack["mask"] is None else pack["tokens"][pack["mask"]]
        offsets = edges[np.searchsorted(chunks, pack["chunk"])].tolist()
        ends = pack["cu_seqlens"].tolist()
        for offset, start, end in zip(offsets, ends[:-1], ends[1:], strict=True):
            tokens[offset : offset + end - start] = mine[start:end]
    return Segments(keys.drop("chunk", "context"), tokens, edges)
