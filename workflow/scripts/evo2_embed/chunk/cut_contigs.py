"""The windows of a genome's contigs, or of its regions."""

from collections import Counter
from collections.abc import Iterator

import numpy as np

from evo2_embed.chunk.measures import JoinedSource, Source, measure_windows
from evo2_embed.chunk.regions import plan_regions
from evo2_embed.chunk.windows import plan_records, plan_windows
from evo2_embed.chunk.work import AMBIGUOUS, Work, lengths_of
from evo2_embed.genomes.blocks import BLOCK
from evo2_embed.genomes.fit import fit_regions
from evo2_embed.genomes.index import IndexedFasta
from evo2_embed.genomes.regions import Regions, read_regions
from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.io.parts import Parts, edges_of


def cut_contigs(
    genome: Genome, fasta: IndexedFasta, counts: Counter, work: Work
) -> Iterator[tuple[str | np.ndarray, dict]]:
    """Windows of the contigs of a genome, or of its regions.

    An assembly or a transcriptome can have a million short records, so these are cut and measured
    together.

    Parameters
    ----------
    genome : Genome
    fasta : IndexedFasta
    counts : Counter
        Is added to: contigs, bases, and what was skipped and why.
    work : Work

    Yields
    ------
    contig : str or ndarray of str, (n,)
        That of all rows, or of each.
    rows : dict
        As `measures.measure_windows` gives them.

    Raises
    ------
    InputError
        If the file of regions cannot be used or does not fit the genome; see `measure_windows`.
    """
    lengths = lengths_of(fasta)
    regions = read_regions(genome.regions, work.regions) if genome.regions else None
    if regions is not None:
        regions = fit_regions(regions, lengths, genome, work.regions)
    lengths = work.long_enough(lengths, regions, "regions", counts)
    for group in _group(lengths, regions is None, work):
        source = Source(fasta, group[0], genome.fasta, work.windows.lower_case, work.buffers)
        if len(group) > 1:
            sizes = np.array([lengths[contig] for contig in group])
            plan, skipped = plan_records(sizes, work.windows)
            source = JoinedSource(**vars(source), names=group, edges=edges_of(sizes))
        else:
            mine = regions and regions[group[0]]
            plan, skipped = _plan(genome, group[0], lengths[group[0]], mine, work)
        if skipped:
            counts["skipped: window shorter than min_length"] += skipped
        work.numbering.begin_contig(int(plan["stretch"].max(initial=-1)) + 1)
        for batch, skipped in _measured(source, plan, work):
            if skipped:
                counts[AMBIGUOUS] += skipped
            yield _separate(source, batch)


def _group(lengths: dict[str, int], joined: bool, work: Work) -> Iterator[list[str]]:
    """Contigs in groups: short ones that can be cut together, and each of the others alone."""
    windows, group, bases = work.windows, [], 0
    longest = BLOCK if windows.context.span == "size" else min(BLOCK, windows.context.span)
    for contig, length in lengths.items():
        if group and (not joined or length > longest or bases + length > BLOCK):
            yield group
            group, bases = [], 0
        group.append(contig)
        # Nothing joins a contig that is too long.
        bases += length if length <= longest else BLOCK
    if group:
        yield group


def _separate(source: Source, batch: dict) -> tuple[str | np.ndarray, dict]:
    """The contig of windows, or of each of them, and the windows as they lie on it."""
    if not isinstance(source, JoinedSource):
        return source.contig, batch
    record = batch.pop("record")
    for key in ("start", "end"):
        batch[key] = batch[key] - source.edges[record]
    return np.array(source.names, object)[record], batch


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
