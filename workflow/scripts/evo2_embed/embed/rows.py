"""The rows of a shard: how many, their coordinates, order and keys.

Pooling is `mean`, `max`, `first`, `last` or `{"center": k}` (one row per chunk), or `{"bin": k}`
(one row per k bases, in the direction of the chunk's strand; the last bin may be shorter). The
first `skip_first` bases of a stretch are not pooled; bins without a pooled base are left out.
"""

import numpy as np
import pyarrow as pa

from evo2_embed.io.errors import InputError
from evo2_embed.io.parts import Parts, edges_of
from evo2_embed.io.tables import OF_VARIANT
from evo2_embed.io.text import shown
from evo2_embed.settings.extraction import bin_of


def pooled_tokens(
    lengths: np.ndarray, strand: np.ndarray, pooling: str | dict, skipped: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Which tokens of chunks are pooled: [first, stop), counted from the chunk's start in the
    direction of its strand; none if `stop` is not after `first`.

    Parameters
    ----------
    lengths : ndarray of int64, (n,)
        Bases of the chunks.
    strand : ndarray of str, (n,)
    pooling : str or dict
    skipped : ndarray of int64, (n,)
        Tokens at the start of the chunks that are not pooled.
    """
    if pooling == "first":
        return skipped, np.minimum(skipped + 1, lengths)
    if pooling == "last":
        return np.maximum(skipped, lengths - 1), lengths
    if isinstance(pooling, dict) and "center" in pooling:
        size = np.minimum(pooling["center"], lengths)
        # The same bases on both strands.
        left = (lengths - size) // 2
        first = np.where(strand == "+", left, lengths - size - left)
        return np.maximum(skipped, first), first + size
    return skipped, lengths


def first_bins(lengths: np.ndarray, size: int, skipped: np.ndarray) -> np.ndarray:
    """Number of the first bin of each chunk with a pooled base, (n,)."""
    return np.where(skipped < lengths, skipped // size, -(-lengths // size))


def locate_rows(
    chunks: dict[str, np.ndarray | Parts], pooling: str | dict, skipped: np.ndarray | int = 0
) -> dict[str, np.ndarray]:
    """Coordinates of the rows of chunks.

    Parameters
    ----------
    chunks : dict of str to ndarray, (n,), or Parts
        `start` and `end`, 0-based and half-open on the forward strand, `strand` and `parts`; and
        `context` and `tables.VARIANT_KEYS` if some are of variants.
    pooling : str or dict
    skipped : ndarray of int64, (n,), or int
        Tokens at the start of the chunks that are not pooled.

    Returns
    -------
    dict of str to ndarray, (rows,)
        `chunk` (index into the n chunks), `start`, `end`, `exons`, `bases`, `n_tokens` (pooled
        tokens; for `last` the tokens up to it), `behind` (bases of the chunk after the last pooled
        one, in the direction of its strand) and `offset` (bases of the chunk before the row).
        Ordered by chunk; within a chunk in the order of its tokens. Rows over the origin of a
        contig, or after it, have an `end` of more than the length of the contig. `start` and `end`
        of alternate alleles are those of the bases of the reference that they are in place of.
    """
    start, lengths, bins = chunks["start"], bases_of(chunks), bin_of(pooling)
    skipped = np.broadcast_to(skipped, len(start))
    low, high = pooled_tokens(lengths, chunks["strand"], pooling, skipped)
    size = bins or np.maximum(lengths, 1)
    first = first_bins(lengths, bins, skipped) if bins else np.zeros(len(start), np.int64)
    counts = -(-lengths // size) - first
    chunk = np.repeat(np.arange(len(start)), counts)
    number = np.arange(len(chunk)) - np.repeat(np.cumsum(counts) - counts, counts) + first[chunk]
    size = bins or lengths[chunk]
    offset = number * size
    bases = np.minimum(size, lengths[chunk] - offset)
    after = lengths[chunk] - offset - bases
    # Tokens of `-` run from the chunk's end to its start.
    left = np.where(chunks["strand"][chunk] == "+", offset, after)
    row_start = start[chunk] + left
    rows = {"start": row_start, "end": row_start + bases, "exons": np.ones_like(row_start)}
    joined = np.flatnonzero(chunks["parts"].counts[chunk])
    for name, values in _of_parts(chunks, chunk[joined], left[joined], bases[joined]).items():
        rows[name][joined] = values
    if "insert" in chunks:
        alts = np.flatnonzero(chunks["allele"][chunk] == "alt")
        columns = _of_alternates(chunks, chunk[alts], left[alts], bases[alts])
        rows["start"][alts], rows["end"][alts] = columns
    begin = np.maximum(offset, (skipped if pooling == "last" else low)[chunk])
    stop = np.minimum(offset + bases, high[chunk])
    return {
        "chunk": chunk,
        **rows,
        "bases": bases,
        "n_tokens": stop - begin,
        "behind": lengths[chunk] - stop,
        "offset": offset,
    }


def _of_parts(
    chunks: dict[str, np.ndarray | Parts], chunk: np.ndarray, left: np.ndarray, bases: np.ndarray
) -> dict[str, np.ndarray]:
    """`start`, `end` and `exons` of rows of chunks with parts, from the bases of the chunk to their
    left on the forward strand."""
    parts = chunks["parts"]
    begin, stop = parts.unrolled(chunks["start"], chunks["end"])
    # All parts of all chunks end to end.
    edges = edges_of(stop - begin)
    first = edges[parts.edges[chunk]] + left
    last = first + bases - 1
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


def bases_of(chunks: dict[str, np.ndarray | Parts]) -> np.ndarray:
    """Bases of each chunk: int64, (n,)."""
    if "length" in chunks:
        return chunks["length"].astype(np.int64)
    return chunks["parts"].bases(chunks["start"], chunks["end"])


def _of_alternates(
    chunks: dict[str, np.ndarray | Parts], chunk: np.ndarray, left: np.ndarray, bases: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Start and end on the reference of rows of alternate alleles, from the bases of the chunk to
    their left on the forward strand. Inserted bases that the reference does not have count as the
    last base of the reference allele."""
    start, end, length, context, fork = (
        chunks[name][chunk] for name in ("start", "end", "length", "context", "fork")
    )
    letters = np.array([len(text) for text in chunks["insert"][chunk]], np.int64)
    replaced = end - start - (length - letters)
    own = context - fork  # bases from the variant on, in the direction of the strand
    site = np.where(chunks["strand"][chunk] == "+", length - own, own - letters)
    stop = left + bases
    behind = site + letters
    first = np.where(
        left < behind, np.minimum(left, site + replaced - 1), left - letters + replaced
    )
    last = np.where(stop < behind, np.minimum(stop, site + replaced), stop - letters + replaced)
    return start + first, start + np.maximum(last, first + 1)


class ShardRows:
    """The rows of a shard in their final order: genome, contig, start, strand, chunk.

    Genomes and contigs are in the order of their chunks: that of the sheet and of the FASTA file.

    Parameters
    ----------
    chunks : dict of str to ndarray, (n,), or Parts
        `read.CHUNK_KEYS` of the chunks, in any order, and `tables.VARIANT_KEYS` if some are of
        variants.
    pooling : str or dict
    skip_first : int
        Bases at the start of a stretch that are not pooled.

    Attributes
    ----------
    chunks : dict of str to ndarray, (n,), or Parts
        The same, sorted by `chunk`, and `bases`, the number of bases of each.
    rank : ndarray of int64, (n,)
        Number of the contig of each chunk, from 0.
    rows : dict of str to ndarray, (count,)
        `chunk` (index into `chunks`), `start`, `end`, `exons`, `bases`, `n_tokens`, `context` and
        `offset` of each row. Rows after the origin of a contig come last on it, as `locate_rows`
        has them.
    skipped : ndarray of int64, (n,)
        Tokens at the start of each chunk that are not pooled.
    upstream : ndarray of int64, (n,)
        Tokens of each chunk before its variant; 0 of other chunks.
    count : int
        Number of rows.

    Raises
    ------
    InputError
        If nothing is left to pool of a chunk, and pooling is not by bins.
    """

    def __init__(self, chunks: dict[str, np.ndarray], pooling: str | dict, skip_first: int = 0):
        order = np.argsort(chunks["chunk"], kind="stable")
        self.chunks = chunks = {key: values[order] for key, values in chunks.items()}
        chunks["bases"] = lengths = bases_of(chunks)
        self.skipped = skipped = skipped_tokens(lengths, chunks["context"], skip_first)
        self.upstream = np.zeros_like(lengths)
        if "fork" in chunks:
            before = lengths - (chunks["context"] - chunks["fork"])
            self.upstream = np.where(chunks["fork"] < 0, 0, before)
        rows = locate_rows(chunks, pooling, skipped)
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
        self._first = np.searchsorted(owner, np.arange(len(order)))
        if bins := bin_of(pooling):
            self._first -= first_bins(lengths, bins, skipped)
        self._check_pooled(skip_first)

    def _check_pooled(self, skip_first: int) -> None:
        """Check that something is left to pool of every row."""
        bad = np.flatnonzero(self.rows["n_tokens"] <= 0)
        if not len(bad):
            return
        more = f", and of {len(bad) - 1:,} more rows" if len(bad) > 1 else ""
        raise InputError(
            f"skip_first: {skip_first} leaves nothing to pool of {self.place(bad[0])}{more}: use "
            "upstream context (windows.context.min, regions.flank), a larger windows.min_length, "
            "or a smaller skip_first"
        )

    def row_index(self, chunk: np.ndarray, number: np.ndarray) -> np.ndarray:
        """Final indices of rows, from their chunk (index into `chunks`) and the number of their bin
        in it; 0 without bins."""
        return self._final_index[self._first[chunk] + number]

    def scored(self, start: int, stop: int, bos: int, downstream: bool = False) -> np.ndarray:
        """Number of bases of rows [start, stop) that have a score: int64, (n,). All but the first
        base of a stretch that has no BOS. With `downstream` only those from the variant on."""
        rows = {key: values[start:stop] for key, values in self.rows.items()}
        bases, context = (self.chunks[key][rows["chunk"]] for key in ("bases", "context"))
        before = self.upstream[rows["chunk"]] if downstream else 0
        first = (rows["offset"] + before == 0) & (context == bases)
        return rows["bases"] - before - (first & (not bos))

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
            **{name: pa.array(taken[name], pa.string()) for name in OF_VARIANT if name in taken},
        }


def skipped_tokens(lengths: np.ndarray, context: np.ndarray, skip_first: int) -> np.ndarray:
    """Tokens at the start of chunks that are among the first `skip_first` bases of their stretch:
    int64, (n,)."""
    return np.clip(skip_first - (context - lengths), 0, lengths)


def contig_ranks(genome: np.ndarray, contig: np.ndarray) -> np.ndarray:
    """Number of the contig of each chunk, from 0, in order of appearance: int64, (n,)."""
    new = (genome[1:] != genome[:-1]) | (contig[1:] != contig[:-1])
    return np.concatenate([[0], np.cumsum(new)])[: len(genome)]
