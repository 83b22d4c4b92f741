"""FASTA files to a chunk table: the windows of a bundle's genomes, and what was skipped and why."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pyarrow as pa

from evo2_embed.chunk.cut_contigs import cut_contigs
from evo2_embed.chunk.cut_variants import cut_variants
from evo2_embed.chunk.stretches import Numbering
from evo2_embed.chunk.work import Work
from evo2_embed.genomes.blocks import Buffers
from evo2_embed.genomes.fasta import fasta_index, index_folder, open_fasta
from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.io.digests import file_sha256, settings_digest
from evo2_embed.io.errors import InputError
from evo2_embed.io.logs import log
from evo2_embed.io.tables import (
    CHUNKS,
    check_chunks,
    chunk_table,
    gathered,
    metadata_schema,
    table_writer,
)
from evo2_embed.settings.sections import RegionSettings, VariantSettings, Windows

_ROWS = 1 << 16  # of a row group


def chunk_bundle(
    genomes: list[Genome],
    windows: dict,
    indexes: str,
    output: str,
    code: int,
    threads: int = 1,
    regions: dict | None = None,
    variants: dict | None = None,
) -> dict:
    """Write the chunk table of a bundle.

    Parameters
    ----------
    genomes : list of Genome
    windows : dict
        The section `windows` of the configuration, as the table's metadata repeats it.
    indexes : str
        Folder that keeps FASTA indexes (`fasta.index_folder`).
    output : str
        Path of the table.
    code : int
        Version of this stage's code.
    threads : int
        Number of threads that read and measure blocks of a contig.
    regions : dict, optional
        The section `regions` of the configuration, if a genome of the bundle has a file of regions.
    variants : dict, optional
        The section `variants`, if one has variants.

    Returns
    -------
    dict
        The table's metadata: `settings`, `digest`, `inputs` (digests of the files), `n_stretches`,
        and `genomes` (counts by genome).

    Raises
    ------
    InputError
        If a file cannot be used, or a genome has no window left.
    """
    settings = {"windows": windows, "code": code}
    settings |= {} if regions is None else {"regions": regions}
    settings |= {} if variants is None else {"variants": variants}
    metadata = {"settings": settings, "genomes": {}}
    first = 0
    with (
        _pool(threads) as pool,
        index_folder(indexes, len(genomes)) as folder,
        table_writer(output, CHUNKS) as writer,
    ):
        digests = pool.map(_input_digests, genomes)
        sections = (
            Windows.from_dict(windows),
            RegionSettings.from_dict(regions or {}),
            VariantSettings.from_dict(variants or {}),
        )
        work = Work(*sections, folder, pool, Buffers(), Numbering())
        rows = _chunk_genomes(genomes, metadata["genomes"], work)
        for table in gathered(rows, _ROWS):
            writer.write_table(check_chunks(table, output, first))
            first += len(table)
        metadata["n_stretches"] = work.numbering.count
        metadata["inputs"] = inputs = list(digests)
        metadata["digest"] = settings_digest([settings, inputs])
        # The counts are known only now; a writer adds metadata until it is closed.
        writer.add_key_value_metadata(metadata_schema(CHUNKS, metadata).metadata)
    return metadata


@contextmanager
def _pool(threads: int) -> Iterator[ThreadPoolExecutor]:
    """Threads that start no new work after the block has ended."""
    pool = ThreadPoolExecutor(threads)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _input_digests(genome: Genome) -> dict:
    digests = {"genome": genome.name, "fasta_sha256": file_sha256(genome.fasta)}
    if genome.regions:
        digests["regions_sha256"] = file_sha256(genome.regions)
        digests |= {"circular": genome.circular} if genome.circular else {}
    if genome.variants:
        digests["variants_sha256"] = file_sha256(genome.variants)
    return digests


def _chunk_genomes(genomes: list[Genome], counted: dict, work: Work) -> Iterator[pa.Table]:
    """Chunks of all genomes; the counts of each are added to `counted`."""
    first = 0
    for genome in genomes:
        counts = Counter()
        for table in _chunk_genome(genome, counts, first, work):
            first += len(table)
            yield table
        if not counts["chunks"]:
            raise InputError(f"genome '{genome.name}' ({genome.fasta}): {_none_left(counts)}")
        log.info("genome %s: %s", genome.name, dict(counts))
        counted[genome.name] = dict(sorted(counts.items()))


def _chunk_genome(genome: Genome, counts: Counter, first: int, work: Work) -> Iterator[pa.Table]:
    """Chunks of a genome, the first of which has the number `first`; `counts` is added to."""
    with open_fasta(genome.fasta, fasta_index(work.indexes, genome.name), rebuild=True) as fasta:
        cut = cut_variants if genome.has_variants else cut_contigs
        for contig, batch in cut(genome, fasta, counts, work):
            n = len(batch["start"])
            batch["chunk"] = np.arange(first, first + n)
            for key, value in (("genome", genome.name), ("contig", contig)):
                batch[key] = np.full(n, value, object)
            batch["stretch"] = work.numbering.number(batch["stretch"])
            if "parent" in batch:
                batch["parent"] = work.numbering.known(batch["parent"])
            first += n
            counts["chunks"] += n
            counts["tokens"] += int(batch["length"].sum())
            yield chunk_table(batch)


def _none_left(counts: Counter) -> str:
    skipped = [
        f"{n} {why.removeprefix('skipped: ')}" for why, n in counts.items() if "skipped" in why
    ]
    return (
        f"no window is left to embed ({'; '.join(skipped)}); "
        "change the settings of windows or remove the genome from the sheet"
    )
