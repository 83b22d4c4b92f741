"""Chunks of variants: two rows per pair of windows, measured; the check of reference alleles."""

import zlib
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from evo2_embed.chunk.measures import Source
from evo2_embed.chunk.variants import Pairs
from evo2_embed.genomes.blocks import BLOCK, UPPER_BITS
from evo2_embed.genomes.fasta import IS_AMBIGUOUS, IS_GC
from evo2_embed.genomes.variants import Variants
from evo2_embed.io.errors import InputError
from evo2_embed.io.parts import Parts, edges_of
from evo2_embed.io.text import shown
from evo2_embed.settings.windows import Windows

_ROWS = 1 << 15  # pairs at once
_SHOWN = 5  # reference alleles of an error

# What VCF writes for an ambiguous letter of the FASTA file: the first of its bases, or N.
_FIRST = np.arange(256, dtype=np.uint8)
_FIRST[np.frombuffer(b"RYSWKMBDHVN", np.uint8)] = np.frombuffer(b"ACCAGACAAAN", np.uint8)


def check_reference(
    source: Source, length: int, variants: Variants, path: str, policy: str
) -> np.ndarray:
    """Which variants have the reference allele that the contig has: bool, (n,).

    Parameters
    ----------
    source : Source
    length : int
        Bases of the contig.
    variants : Variants
    path : str
        Their file, for errors.
    policy : {"error", "skip"}

    Raises
    ------
    InputError
        If the policy is `error` and one has another, or is not on the contig; it shows the first.
    """
    size = variants.sites.ref_length
    inside = (variants.position >= 0) & (variants.position + size <= length)
    right = inside.copy()
    for rows in _runs(variants.position, np.flatnonzero(inside)):
        first = int(variants.position[rows[0]])
        tokens, _, _ = source.read(first, int((variants.position[rows] + size[rows]).max()))
        alleles, edges = _letters(variants.ref.take(pa.array(rows)))
        where = np.repeat(variants.position[rows] - first - edges[:-1], np.diff(edges))
        found = tokens[where + np.arange(len(alleles))] & UPPER_BITS
        same = (alleles == found) | (alleles == _FIRST[found])
        same |= (alleles == ord("N")) & IS_AMBIGUOUS[found]
        right[rows] = np.logical_and.reduceat(same, edges[:-1])
    bad = np.flatnonzero(~right)
    if len(bad) and policy == "error":
        told = [_differs(source, length, variants, row) for row in bad[:_SHOWN].tolist()]
        raise InputError(
            f"{path}: {len(bad):,} of {len(right):,} reference alleles are not in record "
            f"'{shown(source.contig)}' of {source.path}: {'; '.join(told)}; is this another "
            "assembly? (variants.on_mismatch: skip leaves them out)"
        )
    return right


def _differs(source: Source, length: int, variants: Variants, row: int) -> str:
    position, allele = int(variants.position[row]), variants.ref[row].as_py()
    if position < 0 or position + len(allele) > length:
        return f"position {position + 1} {shown(allele, 20)} is not on its {length:,} bases"
    tokens, _, _ = source.read(position, position + len(allele))
    found = tokens.tobytes().decode()
    return f"position {position + 1} {shown(allele, 20)}, not {shown(found, 20)}"


def pair_blocks(pairs: Pairs) -> Iterator[Pairs]:
    """Pairs in blocks of nearby windows."""
    for rows in _runs(
        np.minimum(pairs["start"], pairs["alt_start"]), np.arange(len(pairs["site"]))
    ):
        yield {key: values[rows] for key, values in pairs.items()}


def _runs(start: np.ndarray, rows: np.ndarray) -> Iterator[np.ndarray]:
    """Rows, nearly ascending by start, in runs of at most `_ROWS` within `BLOCK` bases."""
    highest, row = np.maximum.accumulate(start[rows]), 0
    while row < len(rows):
        stop = min(int(np.searchsorted(highest, highest[row] + BLOCK)), row + _ROWS)
        yield rows[row:stop]
        row = stop


def measure_pairs(
    source: Source, block: Pairs, strand: str, variants: Variants, windows: Windows
) -> tuple[dict, Counter]:
    """The chunks of a block of pairs, reference before alternate. Threads may do this at the same
    time.

    Parameters
    ----------
    source : Source
    block : dict
        As `variants.plan_variants` gives them.
    strand : str
    variants : Variants
        Of the contig.
    windows : Windows

    Returns
    -------
    rows : dict
        Columns of a chunk table but for `chunk`, `genome` and `contig`. `stretch` and `parent` are
        numbers in the contig; a chunk without parent has -1.
    skipped : Counter
        Number of pairs that are not kept, by reason.

    Raises
    ------
    InputError
        If a letter is no nucleotide, or is ambiguous and the policy is `error`.
    """
    first = int(min(block["start"].min(), block["alt_start"].min()))
    last = int(max(block["end"].max(), block["alt_end"].max()))
    tokens, is_gc, is_ambiguous = source.read(first, last)
    alternates = _alternates(tokens[block["site"] - first], variants, block["variant"], windows)
    letters, edges = _letters(alternates)
    gc = _shares(block, first, is_gc, IS_GC[letters], edges)
    ambiguous = _shares(block, first, is_ambiguous, IS_AMBIGUOUS[letters], edges)
    policy, skipped = windows.ambiguous.policy, Counter()
    keep = np.ones(len(edges) - 1, bool)
    if policy == "error" and ambiguous.any():
        site = int(block["site"][ambiguous.any(axis=1).argmax()]) + 1
        raise InputError(
            f"{source.path}: record '{shown(source.contig)}': ambiguous letters in the window of "
            f"the variant at {site} (windows.ambiguous.policy is error; allowed: keep, skip)"
        )
    if policy == "skip":
        keep = (ambiguous <= windows.ambiguous.max_share).all(axis=1)
        skipped["skipped: ambiguous share above max_share"] = 2 * int((~keep).sum())
    rows = _columns(block, strand, variants.take(block["variant"]), source.contig, alternates)
    rows |= {"gc": gc.ravel(), "ambiguous": ambiguous.ravel()}
    rows["crc32"] = _checksums(block, first, tokens, letters, edges)
    keep = np.repeat(keep, 2)
    kept = rows if keep.all() else {key: _chosen(column, keep) for key, column in rows.items()}
    return kept, +skipped


def _alternates(
    replaced: np.ndarray, variants: Variants, rows: np.ndarray, windows: Windows
) -> pa.Array:
    """The letters of the alternates of variants: with `lower_case: keep` they have the case of the
    first base that they replace."""
    alternates = variants.alt.take(pa.array(rows))
    if windows.lower_case == "upper":
        return alternates
    is_lower = pa.array(replaced > ord("Z"))
    return pc.if_else(is_lower, pc.ascii_lower(alternates), alternates)


def _columns(
    block: Pairs, strand: str, variants: Variants, contig: str, alternates: pa.Array
) -> dict[str, np.ndarray | Parts | pa.Array]:
    """What the chunks of pairs are, without measures."""
    n, is_fork = len(block["site"]), block["is_fork"]
    own = block["length"] - block["upstream"]
    fork = np.stack([block["fork"], np.where(is_fork, block["fork"], block["upstream"])], axis=1)
    position = pa.array(variants.position + 1).cast(pa.large_string())
    name, colon = (pa.scalar(text, pa.large_string()) for text in (contig, ":"))
    names = pc.binary_join_element_wise(name, position, variants.ref, variants.alt, colon)
    twice = pa.array(np.repeat(np.arange(n), 2))
    is_alternate = np.tile([False, True], n)
    parent = np.stack([np.full(n, -1), np.where(is_fork, block["stretch"], -1)], axis=1).ravel()
    return {
        "start": np.stack([block["start"], block["alt_start"]], axis=1).ravel(),
        "end": np.stack([block["end"], block["alt_end"]], axis=1).ravel(),
        "strand": np.full(2 * n, strand, object),
        "name": np.full(2 * n, None, object),
        "length": np.repeat(block["length"], 2),
        "stretch": np.stack([block["stretch"], block["alt_stretch"]], axis=1).ravel(),
        "context": (fork + own[:, None]).ravel(),
        "parts": Parts.none(2 * n),
        "variant": names.take(twice),
        "id": variants.id.take(twice),
        "allele": np.where(is_alternate, "alt", "ref").astype(object),
        "parent": parent,
        "fork": fork.ravel(),
        "insert": pc.if_else(pa.array(is_alternate), alternates.take(twice), None),
    }


def _shares(
    block: Pairs, first: int, mask: np.ndarray, of_letters: np.ndarray, edges: np.ndarray
) -> np.ndarray:
    """Shares of letters of a kind in the windows of both alleles: float32, (n, 2)."""
    total = edges_of(mask)

    def count(start: np.ndarray, end: np.ndarray) -> np.ndarray:
        return total[end - first] - total[start - first]

    reference = count(block["start"], block["end"])
    common = count(block["alt_start"], block["site"]) + count(block["site_end"], block["alt_end"])
    inserted = edges_of(of_letters)
    counts = np.stack([reference, common + inserted[edges[1:]] - inserted[edges[:-1]]], axis=1)
    return (counts / block["length"][:, None]).astype(np.float32)


def _checksums(
    block: Pairs, first: int, tokens: np.ndarray, letters: np.ndarray, edges: np.ndarray
) -> np.ndarray:
    """Checksums of the windows of both alleles on the forward strand: uint32, (2 n,)."""
    names = ("start", "end", "alt_start", "alt_end", "site", "site_end")
    columns = [(block[name] - first).tolist() for name in names]
    bases, inserts = memoryview(tokens), memoryview(letters)
    found = []
    for start, end, alt_start, alt_end, site, after, begin, stop in zip(
        *columns, edges[:-1].tolist(), edges[1:].tolist(), strict=True
    ):
        before = zlib.crc32(bases[start:site])
        # At the start of a contig, a window on - may end inside a long reference allele.
        found.append(zlib.crc32(bases[max(site, start) : end], before))
        if alt_start != start:
            before = zlib.crc32(bases[alt_start:site])
        found.append(zlib.crc32(bases[after:alt_end], zlib.crc32(inserts[begin:stop], before)))
    return np.array(found, np.uint32)


def _letters(texts: pa.LargeStringArray) -> tuple[np.ndarray, np.ndarray]:
    """The letters of texts, end to end, and where each begins and ends: uint8, and int64."""
    _, edges, letters = texts.buffers()
    edges = np.frombuffer(edges, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    return np.frombuffer(letters, np.uint8)[edges[0] : edges[-1]], edges - edges[0]


def _chosen(
    column: np.ndarray | Parts | pa.Array, keep: np.ndarray
) -> np.ndarray | Parts | pa.Array:
    return column.filter(pa.array(keep)) if isinstance(column, pa.Array) else column[keep]
