"""The windows of the variants of a genome: of its file of variants, or of a scan of its regions."""

from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import numpy as np

from evo2_embed.chunk.measures import Source
from evo2_embed.chunk.scan import scan_bases
from evo2_embed.chunk.variant_rows import check_reference, measure_pairs, pair_blocks
from evo2_embed.chunk.variants import plan_variants
from evo2_embed.chunk.work import MISMATCH, Work, lengths_of
from evo2_embed.genomes.fit import check_contigs, fit_regions
from evo2_embed.genomes.index import IndexedFasta
from evo2_embed.genomes.regions import Regions, read_regions
from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.genomes.variant_sample import Sites
from evo2_embed.genomes.variants import Variants, read_variants

_AHEAD = 2  # blocks of variants that are measured before they are needed


def cut_variants(
    genome: Genome, fasta: IndexedFasta, counts: Counter, work: Work
) -> Iterator[tuple[str, dict]]:
    """Windows of the variants of a genome.

    Parameters
    ----------
    genome : Genome
    fasta : IndexedFasta
    counts : Counter
        Is added to: contigs, variants, and what was skipped and why.
    work : Work

    Yields
    ------
    contig : str
    rows : dict
        As `variant_rows.measure_pairs` gives them.

    Raises
    ------
    InputError
        If the file of variants or regions cannot be used, or does not fit the genome.
    """
    lengths = lengths_of(fasta)
    if genome.scan:
        found = fit_regions(
            read_regions(genome.regions, work.regions), lengths, genome, work.regions
        )
    else:
        found = _read(genome, lengths, counts)
    what = "regions" if genome.scan else "variants"
    for contig, length in work.long_enough(lengths, found, what, counts).items():
        source = Source(fasta, contig, genome.fasta, work.windows.lower_case, work.buffers)
        if genome.scan:
            mine, sites = _scanned(source, found[contig], length, counts, work)
        else:
            mine = _checked(genome, source, length, found[contig], counts, work)
            sites = mine.sites
        for batch in _windows(source, length, mine, sites, counts, work):
            yield contig, batch


def _read(genome: Genome, lengths: dict[str, int], counts: Counter) -> dict[str, Variants]:
    variants, found = read_variants(genome.variants)
    counts.update(found)
    first = {contig: int(mine.position[0]) for contig, mine in variants.items()}
    check_contigs(first, lengths, genome)
    return variants


def _checked(
    genome: Genome, source: Source, length: int, mine: Variants, counts: Counter, work: Work
) -> Variants:
    """The variants of a contig whose reference alleles are those of the FASTA file."""
    policy = work.variants.on_mismatch
    right = check_reference(source, length, mine, genome.variants, policy)
    if right.all():
        return mine
    counts[MISMATCH] += int((~right).sum())
    return mine.take(np.flatnonzero(right))


def _scanned(
    source: Source, regions: Regions, length: int, counts: Counter, work: Work
) -> tuple[Variants, Sites]:
    """The variants of a scan of a contig."""
    mine, sites, ambiguous = scan_bases(source, regions, length, work.variants)
    counts["variants"] += len(mine)
    if ambiguous:
        counts["skipped: base is ambiguous"] += ambiguous
    return mine, sites


def _windows(
    source: Source, length: int, mine: Variants, sites: Sites, counts: Counter, work: Work
) -> Iterator[dict]:
    """Windows of the variants of a contig."""
    pairs, skipped = plan_variants(length, sites, work.windows, work.variants)
    counts.update(skipped)
    work.numbering.begin_contig(4 * len(mine))
    for strand, planned in pairs:
        measure = partial(measure_pairs, source, strand=strand, variants=mine, windows=work.windows)
        for batch, skipped in _in_turn(work.pool, measure, pair_blocks(planned)):
            counts.update(skipped)
            yield batch


def _in_turn(pool: ThreadPoolExecutor, call: Callable, items: Iterator) -> Iterator:
    """Results in the order of the items; only a few are computed ahead, for they are large."""
    waiting: deque[Future] = deque()
    for item in items:
        waiting.append(pool.submit(call, item))
        if len(waiting) > _AHEAD:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
