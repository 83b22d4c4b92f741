"""The pack file of the burn-in: stretches of one contig, in rows of a few bases."""

import zlib

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pyfaidx

from evo2_embed.analysis.burn_in.limits import ROW
from evo2_embed.analysis.burn_in.places import MIN_LENGTH, place_stretches
from evo2_embed.genomes.fasta import (
    IS_AMBIGUOUS,
    IS_GC,
    fasta_index,
    fetch_tokens,
    index_folder,
    open_fasta,
    short,
)
from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.io.digests import settings_digest
from evo2_embed.io.errors import InputError
from evo2_embed.io.tables import CHUNKS, open_table, table_metadata
from evo2_embed.pack.write import PackSource, write_packs

_LOOKS = 17  # places of a contig that are looked at for one with no ambiguous letters


def pack_burn_in(
    genomes: list[Genome],
    chunks: str,
    places: dict,
    settings: dict,
    indexes: str,
    output: str,
) -> dict:
    """Write the packs of the burn-in: of the longest contig of a bundle, one long stretch and short
    ones that begin within it.

    Parameters
    ----------
    genomes : list of Genome
        The bundle's.
    chunks : str
        Path of the bundle's chunk table.
    places : dict
        `length` (most bases of the longest context), `starts`, `strand` and `code`.
    settings : dict
        `packing` (the section of the configuration) and `code`.
    indexes : str
        Folder that keeps FASTA indexes (`fasta.index_folder`).
    output : str
        Path of the pack file (`tables.PACKS`); `chunk` counts its rows. It has no packs where the
        contig is too short.

    Returns
    -------
    dict
        `reason`, why there is nothing to measure, or None, and `place`, what the long stretch is.
        The file's metadata has it as `burn_in`.
    """
    file = open_table(chunks, CHUNKS)
    chunked = table_metadata(file)
    lower_case = chunked["settings"]["windows"]["lower_case"]
    name, contig = _longest_contig(file)
    genome = next(genome for genome in genomes if genome.name == name)
    with (
        index_folder(indexes, len(genomes)) as folder,
        open_fasta(genome.fasta, fasta_index(folder, name)) as fasta,
    ):
        found = _choose(fasta, genome, contig, places, lower_case)
        table = _rows(fasta, genome.fasta, found["place"], places, lower_case)
    origin = {
        "settings": settings,
        "digest": settings_digest([settings, places, chunked["digest"]]),
        "chunks_digest": chunked["digest"],
        "burn_in": found,
    }
    write_packs(output, [PackSource(chunks, genomes, table, lower_case)], origin, indexes)
    return found


def _longest_contig(file: pq.ParquetFile) -> tuple[str, str]:
    """Genome and contig whose chunks reach furthest; of several, the first."""
    table = pl.from_arrow(file.read(["genome", "contig", "end"]))
    ends = table.group_by("genome", "contig", maintain_order=True).agg(pl.col("end").max())
    row = ends.row(int(ends["end"].arg_max()), named=True)
    return str(row["genome"]), str(row["contig"])


def _choose(
    fasta: pyfaidx.Fasta, genome: Genome, contig: str, places: dict, lower_case: str
) -> dict:
    """Where the long stretch is, or the reason why there is none."""
    if contig not in fasta.faidx.index:
        raise InputError(f"{genome.fasta}: no record '{short(contig)}'; it changed: rerun")
    bases = fasta.faidx.index[contig].rlen
    length = min(places["length"], bases)
    if length < MIN_LENGTH:
        why = (
            f"the longest contig, '{short(contig)}' of {genome.name}, has {bases:,}"
            if bases < MIN_LENGTH
            else f"a pack (packing.max_tokens) takes {places['length']:,}"
        )
        return {"reason": f"{why} bases, and {MIN_LENGTH:,} are needed", "place": None}
    stretches = place_stretches(length, places["starts"])
    length = int(stretches[0, 1])
    start = _clear_start(fasta, genome.fasta, contig, length, places["strand"], lower_case)
    place = {
        "genome": genome.name,
        "contig": contig,
        "start": start,
        "end": start + length,
        "strand": places["strand"],
        "starts": len(stretches) - 1,
        "stretch": int(stretches[1, 1] - stretches[1, 0]),
        "row": ROW,
    }
    return {"reason": None, "place": place}


def _clear_start(
    fasta: pyfaidx.Fasta, source: str, contig: str, length: int, strand: str, lower_case: str
) -> int:
    """Start of the bases to run: at the strand's start, or where the first of some evenly spaced
    places has no ambiguous letters, or fewest. Many contigs begin with nothing but N."""
    last = fasta.faidx.index[contig].rlen - length
    starts = np.unique(np.linspace(0, last, _LOOKS).astype(np.int64)).tolist()
    starts = starts if strand == "+" else [last - start for start in starts]
    counts = []
    for start in starts:
        tokens = fetch_tokens(fasta, contig, start, start + length, lower_case, source)
        counts.append(int(IS_AMBIGUOUS[tokens].sum()))
        if not counts[-1]:
            break
    return starts[int(np.argmin(counts))]


def _rows(
    fasta: pyfaidx.Fasta, source: str, place: dict | None, places: dict, lower_case: str
) -> pa.Table:
    """The rows of all stretches, as chunks (`tables.CHUNKS`); none where there is no place."""
    if place is None:
        return CHUNKS.empty_table()
    stretches = place_stretches(place["end"] - place["start"], places["starts"])
    counts = (stretches[:, 1] - stretches[:, 0]) // ROW
    stretch = np.repeat(np.arange(len(counts)), counts)
    context = np.concatenate([np.arange(1, count + 1) for count in counts]) * ROW
    end = stretches[stretch, 0] + context  # on the strand that runs, from the long stretch's start
    start = place["start"] + end - ROW if place["strand"] == "+" else place["end"] - end
    bases = (place["contig"], place["start"], place["end"])
    tokens = fetch_tokens(fasta, *bases, lower_case, source).reshape(-1, ROW)
    measured = {
        "gc": IS_GC[tokens].mean(axis=1),
        "ambiguous": IS_AMBIGUOUS[tokens].mean(axis=1),
        "crc32": np.array([zlib.crc32(row) for row in tokens]),
    }
    number = (start - place["start"]) // ROW
    columns = {
        "chunk": np.arange(len(stretch)),
        **{key: [place[key]] * len(stretch) for key in ("genome", "contig", "strand")},
        "start": start,
        "end": start + ROW,
        "name": [None] * len(stretch),
        "length": np.full(len(stretch), ROW),
        **{key: values[number] for key, values in measured.items()},
        "stretch": stretch,
        "context": context,
    }
    return pa.table({f.name: pa.array(columns[f.name], f.type) for f in CHUNKS}, CHUNKS)
