"""FASTA files to a chunk table: the windows of a bundle's genomes, and what was skipped and why."""

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
import pyarrow as pa
import pyfaidx

from evo2_embed.chunk.cut_variants import cut_variants
from evo2_embed.chunk.measures import Source, measure_windows
from evo2_embed.chunk.regions import plan_regions
from evo2_embed.chunk.stretches import Numbering
from evo2_embed.chunk.windows import plan_windows
from evo2_embed.chunk.work import Work, lengths_of
from evo2_embed.genomes.blocks import BLOCK, Buffers
from evo2_embed.genomes.fasta import fasta_index, index_folder, open_fasta
from evo2_embed.genomes.fit import fit_regions
from evo2_embed.genomes.regions import Regions, read_regions
from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.io.digests import file_sha256, settings_digest
from evo2_embed.io.errors import InputError
from evo2_embed.io.logs import log
from evo2_embed.io.parts import Parts
from evo2_embed.io.tables import CHUNKS, check_chunks, chunk_table, metadata_schema, table_writer
from evo2_embed.settings.sections import RegionSettings, VariantSettings, Windows


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
        for genome in genomes:
            counts = Counter()
            for batch in _chunk_genome(genome, counts, first, work):
                writer.write_table(check_chunks(batch, output, first))
                first += len(batch)
            if not counts["chunks"]:
                raise InputError(f"genome '{genome.name}' ({genome.fasta}): {_none_left(counts)}")
            log.info("genome %s: %s", genome.name, dict(counts))
            metadata["genomes"][genome.name] = dict(sorted(counts.items()))
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


def _chunk_genome(genome: Genome, counts: Counter, first: int, work: Work) -> Iterator[pa.Table]:
    """Chunks of a genome, the first of which has the number `first`; `counts` is added to."""
    with open_fasta(genome.fasta, fasta_index(work.indexes, genome.name), rebuild=True) as fasta:
        cut = cut_variants if genome.has_variants else _cut_contigs
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


def _cut_contigs(
    genome: Genome, fasta: pyfaidx.Fasta, counts: Counter, work: Work
) -> Iterator[tuple[str, dict]]:
    """Windows of the contigs of a genome, or of its regions."""
    regions = read_regions(genome.regions, work.regions) if genome.regions else None
    if regions is not None:
        regions = fit_regions(regions, lengths_of(fasta), genome, work.regions)
    for contig, length in lengths_of(fasta).items():
        if regions is not None and contig not in regions:
            counts["contigs without regions"] += 1
            continue
        if work.skips(length, counts):
            continue
        plan, skipped = _plan(genome, contig, length, regions and regions[contig], work)
        if skipped:
            counts["skipped: window shorter than min_length"] += skipped
        work.numbering.begin_contig(len(plan["start"]))
        source = Source(fasta, contig, genome.fasta, work.windows.lower_case, work.buffers)
        for batch, skipped in _measured(source, plan, work):
            if skipped:
                counts["skipped: ambiguous share above max_share"] += skipped
            yield contig, batch


def _plan(
    genome: Genome, contig: str, length: int, regions: Regions | None, work: Work
) -> tuple[dict[str, np.ndarray | Parts], int]:
    """The windows of a contig, and the number of those that are too short."""
    if regions is None or work.regions.rows == "window":
        return plan_windows(length, work.windows, regions)
    flank, circular = work.regions.flank, genome.is_circular(contig)
    return plan_regions(length, work.windows, regions, flank, circular)


def _measured(
    source: Source, plan: dict[str, np.ndarray], work: Work
) -> Iterator[tuple[dict[str, np.ndarray], int]]:
    """Chunks of a contig, block by block, and the number of windows of each block that were
    skipped. Memory does not grow with the contig."""

    def measure(block: dict[str, np.ndarray | Parts]) -> tuple[dict[str, np.ndarray], int]:
        return measure_windows(source, block, work.windows)

    return work.pool.map(measure, _blocks(plan))


def _blocks(plan: dict[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
    """Consecutive windows that start within `BLOCK` bases of each other."""
    row = 0
    while row < len(plan["start"]):
        stop = np.searchsorted(plan["start"], plan["start"][row] + BLOCK)
        stop = max(row + 1, int(stop))
        yield {key: values[row:stop] for key, values in plan.items()}
        row = stop


def _none_left(counts: Counter) -> str:
    skipped = [
        f"{n} {why.removeprefix('skipped: ')}" for why, n in counts.items() if "skipped" in why
    ]
    return (
        f"no window is left to embed ({'; '.join(skipped)}); "
        "change the settings of windows or remove the genome from the sheet"
    )
