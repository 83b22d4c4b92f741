"""The pack file of the burn-in: stretches of one contig, in rows of a few bases."""

import zlib

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from evo2_embed.analysis.burn_in.limits import MIN_LENGTH, ROW
from evo2_embed.analysis.burn_in.stretches import stretch_bounds
from evo2_embed.genomes.fasta import (
    IS_AMBIGUOUS,
    IS_GC,
    fasta_index,
    fetch_tokens,
    index_folder,
    open_fasta,
)
from evo2_embed.genomes.index import IndexedFasta
from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.io.digests import settings_digest
from evo2_embed.io.errors import InputError
from evo2_embed.io.parts import Parts
from evo2_embed.io.tables import CHUNKS, chunk_table, open_table, table_metadata
from evo2_embed.io.text import shown
from evo2_embed.pack.write import PackSource, write_packs

_CANDIDATES = 17  # positions where the longest stretch may start

_NOTHING = {"reason": "the first genomes of the sheet have no window", "place": None}


def pack_burn_in(
    genomes: list[Genome],
    chunks: str,
    target: dict,
    settings: dict,
    indexes: str,
    output: str,
) -> dict:
    """Write the packs of the burn-in: one long stretch of the longest contig of a bundle, and short
    stretches that start within it.

    Parameters
    ----------
    genomes : list of Genome
        Of the bundle.
    chunks : str
        Path of the bundle's chunk table.
    target : dict
        What to measure: `length` (maximum bases of the longest stretch), `starts` (maximum number
        of short stretches), `strand` and `code`.
    settings : dict
        `packing` (the section of the configuration) and `code`.
    indexes : str
        Folder that keeps FASTA indexes (`fasta.index_folder`).
    output : str
        Path of the pack file (`tables.PACKS`); its column `chunk` counts rows. It has no packs if
        the contig is too short.

    Returns
    -------
    dict
        `reason`, why there is nothing to measure, or None, and `place`, the longest stretch. The
        metadata of the file has it as `burn_in`.
    """
    file = open_table(chunks, CHUNKS)
    chunked = table_metadata(file)
    lower_case = chunked["settings"]["windows"]["lower_case"]
    found, table = _NOTHING, CHUNKS.empty_table()
    if file.metadata.num_rows:
        name, contig = _longest_contig(file)
        genome = next(genome for genome in genomes if genome.name == name)
        with (
            index_folder(indexes, len(genomes)) as folder,
            open_fasta(
                genome.fasta, fasta_index(folder, name), full_names=genome.full_names
            ) as fasta,
        ):
            found = _choose(fasta, genome, contig, target, lower_case)
            table = _rows(fasta, genome.fasta, found["place"], target["starts"], lower_case)
    origin = {
        "settings": settings,
        "digest": settings_digest([settings, target, chunked["digest"]]),
        "chunks_digest": chunked["digest"],
        "burn_in": found,
    }
    write_packs(output, [PackSource(chunks, genomes, table, lower_case)], origin, indexes)
    return found


def _longest_contig(file: pq.ParquetFile) -> tuple[str, str]:
    """Genome and contig with the chunk that ends furthest from the start; the first of several."""
    table = pl.from_arrow(file.read(["genome", "contig", "end"]))
    ends = table.group_by("genome", "contig", maintain_order=True).agg(pl.col("end").max())
    row = ends.row(int(ends["end"].arg_max()), named=True)
    return str(row["genome"]), str(row["contig"])


def _choose(
    fasta: IndexedFasta, genome: Genome, contig: str, target: dict, lower_case: str
) -> dict:
    """The longest stretch, or the reason why there is none."""
    if contig not in fasta.index:
        raise InputError(f"{genome.fasta}: no record '{shown(contig)}'; the file changed: rerun")
    bases = fasta.index[contig].rlen
    length = min(target["length"], bases)
    if length < MIN_LENGTH:
        why = (
            f"the longest contig, '{shown(contig)}' of {genome.name}, has {bases:,}"
            if bases < MIN_LENGTH
            else f"the model and packing.max_tokens allow a stretch of {target['length']:,}"
        )
        return {"reason": f"{why} bases, and {MIN_LENGTH:,} are needed", "place": None}
    stretches = stretch_bounds(length, target["starts"])
    length = int(stretches[0, 1])
    start = _clear_start(fasta, genome.fasta, contig, length, target["strand"], lower_case)
    longest = {
        "genome": genome.name,
        "contig": contig,
        "start": start,
        "end": start + length,
        "strand": target["strand"],
        "starts": len(stretches) - 1,
        "stretch": int(stretches[1, 1] - stretches[1, 0]),
        "row": ROW,
    }
    return {"reason": None, "place": longest}


def _clear_start(
    fasta: IndexedFasta, source: str, contig: str, length: int, strand: str, lower_case: str
) -> int:
    """Start of the longest stretch on the contig: the first of some evenly spaced positions, from
    the start of the strand, that gives no ambiguous letters, or the one with fewest. Many contigs
    start with a run of N."""
    last = fasta.index[contig].rlen - length
    starts = np.unique(np.linspace(0, last, _CANDIDATES).astype(np.int64)).tolist()
    starts = starts if strand == "+" else [last - start for start in starts]
    counts = []
    for start in starts:
        tokens = fetch_tokens(fasta, contig, start, start + length, lower_case, source)
        counts.append(int(IS_AMBIGUOUS[tokens].sum()))
        if not counts[-1]:
            break
    return starts[int(np.argmin(counts))]


def _rows(
    fasta: IndexedFasta, source: str, longest: dict | None, starts: int, lower_case: str
) -> pa.Table:
    """The rows of all stretches, as chunks (`tables.CHUNKS`)."""
    if longest is None:
        return CHUNKS.empty_table()
    first, last = longest["start"], longest["end"]
    bounds = stretch_bounds(last - first, starts)
    counts = (bounds[:, 1] - bounds[:, 0]) // ROW
    stretch = np.repeat(np.arange(len(counts)), counts)
    context = np.concatenate([np.arange(1, count + 1) for count in counts]) * ROW
    # Ends of rows in bases from the start of the longest stretch, on its strand.
    end = bounds[stretch, 0] + context
    start = first + end - ROW if longest["strand"] == "+" else last - end
    tokens = fetch_tokens(fasta, longest["contig"], first, last, lower_case, source)
    tokens = tokens.reshape(-1, ROW)
    measured = {
        "gc": IS_GC[tokens].mean(axis=1),
        "ambiguous": IS_AMBIGUOUS[tokens].mean(axis=1),
        "crc32": np.array([zlib.crc32(row) for row in tokens]),
    }
    columns = {
        "chunk": np.arange(len(stretch)),
        **{key: [longest[key]] * len(stretch) for key in ("genome", "contig", "strand")},
        "start": start,
        "end": start + ROW,
        "name": [None] * len(stretch),
        "length": np.full(len(stretch), ROW),
        **{key: values[(start - first) // ROW] for key, values in measured.items()},
        "stretch": stretch,
        "context": context,
        "parts": Parts.none(len(stretch)),
    }
    return chunk_table(columns)
