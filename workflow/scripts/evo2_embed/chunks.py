"""FASTA to a chunk table: windows of a bundle's genomes, with what was skipped and why."""

import zlib
from collections import Counter
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyfaidx

from evo2_embed.digests import file_sha256, settings_digest
from evo2_embed.errors import InputError
from evo2_embed.fasta import (
    IS_AMBIGUOUS,
    IS_GC,
    fasta_index,
    fetch_tokens,
    open_fasta,
    short,
)
from evo2_embed.logs import log
from evo2_embed.sheet import Genome, Region, read_regions
from evo2_embed.tables import CHUNKS, check_chunks, metadata_schema, table_writer
from evo2_embed.windows import tile_windows

BLOCK = 4_000_000  # bases of a contig in memory at once


def chunk_bundle(
    genomes: list[Genome], windows: dict, indexes: str, output: str, code: int
) -> dict:
    """Write the chunk table of a bundle.

    Parameters
    ----------
    genomes : list of Genome
    windows : dict
        The section `windows` of the configuration, complete.
    indexes : str
        Folder for the FASTA indexes.
    output : str
        Path of the table.
    code : int
        Version of this stage's code.

    Returns
    -------
    dict
        The table's metadata: settings, digests of the inputs, counts by genome.

    Raises
    ------
    InputError
        When a file cannot be used, or a genome has no window left.
    """
    inputs = [_input_digests(genome) for genome in genomes]
    settings = {"windows": windows, "code": code}
    metadata = {
        "settings": settings,
        "inputs": inputs,
        "digest": settings_digest([settings, inputs]),
        "genomes": {},
    }
    first = 0
    with table_writer(output, CHUNKS) as writer:
        for genome in genomes:
            counts = Counter()
            for batch in _chunk_genome(genome, windows, indexes, counts, first):
                writer.write_table(check_chunks(batch, output, first))
                first += len(batch)
            if not counts["chunks"]:
                raise InputError(f"genome '{genome.name}' ({genome.fasta}): {_none_left(counts)}")
            log.info("genome %s: %s", genome.name, dict(counts))
            metadata["genomes"][genome.name] = dict(sorted(counts.items()))
        # The counts are known only now; a writer adds metadata until it is closed.
        writer.add_key_value_metadata(metadata_schema(CHUNKS, metadata).metadata)
    return metadata


def _input_digests(genome: Genome) -> dict:
    digests = {"genome": genome.name, "fasta_sha256": file_sha256(genome.fasta)}
    if genome.regions:
        digests["regions_sha256"] = file_sha256(genome.regions)
    return digests


def _chunk_genome(
    genome: Genome, windows: dict, indexes: str, counts: Counter, first: int
) -> Iterator[pa.Table]:
    regions = read_regions(genome.regions) if genome.regions else None
    with open_fasta(genome.fasta, fasta_index(indexes, genome.name), rebuild=True) as fasta:
        if regions is not None:
            _check_regions(genome, regions, fasta)
        for contig, record in fasta.faidx.index.items():
            if regions is not None and contig not in regions:
                counts["contigs without regions"] += 1
                continue
            counts["contigs"] += 1
            counts["bases"] += record.rlen
            if record.rlen < windows["min_length"]:
                counts["skipped: contig shorter than min_length"] += 1
                continue
            plan = _plan_windows(record.rlen, windows, regions and regions[contig], counts)
            for batch in _chunk_contig(genome, contig, fasta, windows, plan, counts):
                batch["chunk"] = np.arange(first, first + len(batch["start"]))
                first += len(batch["start"])
                counts["chunks"] += len(batch["start"])
                counts["tokens"] += int(batch["length"].sum())
                yield pa.table({f.name: pa.array(batch[f.name], f.type) for f in CHUNKS}, CHUNKS)


def _plan_windows(
    length: int, windows: dict, regions: list[Region] | None, counts: Counter
) -> dict[str, np.ndarray]:
    """Starts, ends, names and strands of a contig's windows: sorted, `min_length` applied."""
    parts = []
    for region in regions or [Region(0, length, None, None, 0)]:
        starts, ends = tile_windows(
            region.end - region.start, windows["size"], windows["stride"], windows["last"]
        )
        strands = "+-" if windows["strands"] == "both" else windows["strands"]
        for strand in region.strand or strands:
            parts.append((starts + region.start, ends + region.start, strand, region.name))
    starts = np.concatenate([part[0] for part in parts])
    ends = np.concatenate([part[1] for part in parts])
    strands = np.repeat([part[2] for part in parts], [len(part[0]) for part in parts])
    names = np.repeat(np.array([p[3] for p in parts], object), [len(part[0]) for part in parts])
    order = np.lexsort((ends, strands, starts))
    keep = order[(ends - starts)[order] >= windows["min_length"]]
    if len(keep) < len(order):
        counts["skipped: window shorter than min_length"] += len(order) - len(keep)
    return {"start": starts[keep], "end": ends[keep], "strand": strands[keep], "name": names[keep]}


def _chunk_contig(
    genome: Genome,
    contig: str,
    fasta: pyfaidx.Fasta,
    windows: dict,
    plan: dict[str, np.ndarray],
    counts: Counter,
) -> Iterator[dict[str, np.ndarray]]:
    """The contig's chunks, block by block, so that memory does not grow with the contig."""
    row = 0
    while row < len(plan["start"]):
        base = int(plan["start"][row])
        stop = max(row + 1, int(np.searchsorted(plan["start"], base + BLOCK)))
        block = {key: values[row:stop] for key, values in plan.items()}
        tokens = fetch_tokens(
            fasta, contig, base, int(block["end"].max()), windows["lower_case"], genome.fasta
        )
        _measure(block, tokens, base)
        keep = _apply_ambiguous(genome, contig, block, windows["ambiguous"], tokens, base)
        if not keep.all():
            counts["skipped: ambiguous share above max_share"] += int((~keep).sum())
        block = {key: values[keep] for key, values in block.items()}
        block["genome"] = np.full(len(block["start"]), genome.name, object)
        block["contig"] = np.full(len(block["start"]), contig, object)
        yield block
        row = stop


def _measure(block: dict[str, np.ndarray], tokens: np.ndarray, base: int) -> None:
    """Add length, GC share, ambiguous share and checksum of every window of a block."""
    starts, ends = block["start"] - base, block["end"] - base
    block["length"] = (ends - starts).astype(np.int32)
    for key, table in (("gc", IS_GC), ("ambiguous", IS_AMBIGUOUS)):
        before = np.concatenate([[0], np.cumsum(table[tokens], dtype=np.int32)])
        block[key] = ((before[ends] - before[starts]) / block["length"]).astype(np.float32)
    block["crc32"] = np.array(
        [zlib.crc32(tokens[s:e]) for s, e in zip(starts, ends, strict=True)], np.uint32
    )


def _apply_ambiguous(
    genome: Genome,
    contig: str,
    block: dict[str, np.ndarray],
    ambiguous: dict,
    tokens: np.ndarray,
    base: int,
) -> np.ndarray:
    if ambiguous["policy"] == "skip":
        return block["ambiguous"] <= ambiguous["max_share"]
    bad = np.flatnonzero(block["ambiguous"] > 0)
    if ambiguous["policy"] == "error" and len(bad):
        start, end = int(block["start"][bad[0]]), int(block["end"][bad[0]])
        offset = int(np.argmax(IS_AMBIGUOUS[tokens[start - base : end - base]]))
        letter = chr(tokens[start - base + offset])
        raise InputError(
            f"{genome.fasta}: record '{short(contig)}': ambiguous letter '{letter}' at base "
            f"{start + offset + 1} (windows.ambiguous.policy is error; allowed: keep, skip)"
        )
    return np.ones(len(block["start"]), bool)


def _check_regions(genome: Genome, regions: dict[str, list[Region]], fasta: pyfaidx.Fasta) -> None:
    index = fasta.faidx.index
    for contig, lines in regions.items():
        if contig not in index:
            raise InputError(
                f"{genome.regions}: line {lines[0].line}: no record '{short(contig)}' in "
                f"{genome.fasta} (the first is '{short(next(iter(index)))}')"
            )
        for region in lines:
            if region.end > index[contig].rlen:
                raise InputError(
                    f"{genome.regions}: line {region.line}: end {region.end} is past the end of "
                    f"record '{short(contig)}' ({index[contig].rlen} bases)"
                )


def _none_left(counts: Counter) -> str:
    skipped = [
        f"{n} {why.removeprefix('skipped: ')}" for why, n in counts.items() if "skipped" in why
    ]
    return f"no window is left to embed ({'; '.join(skipped)}); loosen windows or drop the genome"
