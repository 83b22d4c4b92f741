"""Estimate of a run: windows, tokens, rows, jobs and bytes.

It follows from the settings, the plan and the sizes of files. No heavy imports: a limit on the
output is checked when the workflow is parsed.
"""

from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path

from evo2_embed.analysis.fusion.shape import joined_width
from evo2_embed.analysis.heads.files import HeadFile
from evo2_embed.analysis.probes.labels import read_labels
from evo2_embed.genomes.lengths import known_lengths
from evo2_embed.genomes.regions import read_regions
from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.model.registry import layer_widths
from evo2_embed.plan import filesizes
from evo2_embed.plan.bundles import Bundle
from evo2_embed.plan.contigs import Contigs, guess_bases, indexed_lengths, read_contigs, sample_size
from evo2_embed.plan.jobs import count_jobs
from evo2_embed.plan.tokens import (
    run_contigs,
    run_regions,
    shared_tokens,
    sites_of,
    tally,
    tally_regions,
    tally_variants,
)
from evo2_embed.settings.extraction import SCORES, Extraction
from evo2_embed.settings.settings import Settings
from evo2_embed.settings.windows import RegionSettings


@dataclass(frozen=True)
class GenomeEstimate:
    """Estimate of a genome.

    `tokens` run through the model, including a BOS before every stretch if there is one. `rows` has
    the number of rows by bin size. `exact` says whether its contigs were read, or estimated from a
    sample of the file; `tiled` whether it is cut into windows of one size. `short_regions` are left
    out. `shares` has the tokens of its variants, without BOS, for each way of sharing; `covered` is
    the number of bases in their windows on each strand, each counted once, and `points` the number
    of bases at which alternates begin in a reference.
    """

    name: str
    bundle: str
    bases: int
    contigs: int
    windows: int
    tokens: int
    rows: dict[int, int]
    exact: bool
    tiled: bool
    short_regions: int
    shares: dict[str, int] = field(default_factory=dict)
    covered: int = 0
    points: int = 0


@dataclass(frozen=True)
class LayerEstimate:
    """Rows and bytes of one layer of an extraction, or its scores: all its shard files, and its
    dataset, with that of variants.

    Or of one fusion or head, by its name; it has no shard files. The width of a head is the number
    of its outputs, or of the features that it keeps per row; `features` is then the number of all.
    """

    extraction: str
    layer: str
    pooling: str | dict
    dtype: str
    width: int
    rows: int
    shard_bytes: int
    dataset_bytes: int
    export_bytes: int = 0
    features: int | None = None


@dataclass(frozen=True)
class Estimate:
    """Estimate of a run."""

    genomes: list[GenomeEstimate]
    layers: list[LayerEstimate]
    shards: int
    jobs: dict[str, int]
    chunk_bytes: int
    pack_bytes: int
    finetune_bytes: int

    @property
    def windows(self) -> int:
        """Windows of all genomes."""
        return sum(genome.windows for genome in self.genomes)

    @property
    def short_regions(self) -> int:
        """Regions of all genomes that are left out."""
        return sum(genome.short_regions for genome in self.genomes)

    @property
    def tokens(self) -> int:
        """Tokens of all genomes; each extraction runs them through its model."""
        return sum(genome.tokens for genome in self.genomes)

    @property
    def shard_bytes(self) -> int:
        """Size of all shard files."""
        return sum(layer.shard_bytes for layer in self.layers)

    @property
    def dataset_bytes(self) -> int:
        """Size of all datasets."""
        return sum(layer.dataset_bytes for layer in self.layers)

    @property
    def export_bytes(self) -> int:
        """Size of the files of `export` other than the training set."""
        return sum(layer.export_bytes for layer in self.layers)

    @property
    def bytes(self) -> int:
        """Size of `results/`: chunk tables, packs, shard files, datasets and the files of
        `export`."""
        inputs = self.chunk_bytes + self.pack_bytes
        exported = self.export_bytes + self.finetune_bytes
        return inputs + self.shard_bytes + self.dataset_bytes + exported

    @property
    def bundle_bytes(self) -> int:
        """Size of the packs and shard files of the largest bundle."""
        tokens = Counter()
        for genome in self.genomes:
            tokens[genome.bundle] += genome.tokens
        share = max(tokens.values()) / max(self.tokens, 1)
        return round(share * (self.pack_bytes + self.shard_bytes))

    @property
    def tidied_bytes(self) -> int:
        """Largest size of `results/` with `keep: datasets`, if one bundle is in work at a time."""
        finished = self.pack_bytes + self.shard_bytes - self.bundle_bytes
        return self.bytes - finished

    def needed_bytes(self, settings: Settings) -> int:
        """Largest size of `results/` with these settings."""
        return self.tidied_bytes if settings.keeps_datasets else self.bytes


def estimate_run(settings: Settings, bundles: dict[str, Bundle], indexes: str | Path) -> Estimate:
    """Estimate a run from its settings, its plan and the sizes of its files.

    Parameters
    ----------
    settings : Settings
        Complete.
    bundles : dict of str to Bundle
    indexes : path
        Folder of FASTA indexes of earlier runs; those that are up to date are read.

    Raises
    ------
    InputError
        If a file of regions cannot be read.
    """
    sample = sample_size(sum(len(bundle.genomes) for bundle in bundles.values()))
    bins = {extraction.bin for extraction in settings.extractions.values() if extraction.bin}
    genomes = [
        _estimate_genome(genome, bundle.name, settings, bins, Path(indexes), sample)
        for bundle in bundles.values()
        for genome in bundle.genomes
    ]
    shards = sum(bundle.n_shards for bundle in bundles.values())
    windows, tokens = sum(g.windows for g in genomes), sum(g.tokens for g in genomes)
    variants = [genome for genome in genomes if genome.shares]
    of_variants = filesizes.OfVariants(
        sum(g.windows for g in variants),
        sum(g.tokens for g in variants),
        sum(g.covered for g in variants),
    )
    return Estimate(
        genomes,
        _estimate_layers(settings, genomes, shards, len(bundles)),
        shards,
        count_jobs(settings, bundles),
        filesizes.chunk_tables(windows, len(bundles), of_variants),
        filesizes.pack_files(settings.windows, tokens, windows, shards, of_variants),
        filesizes.training_set(settings, tokens, windows, shards),
    )


def _estimate_genome(
    genome: Genome, bundle: str, settings: Settings, bins: set[int], indexes: Path, sample: int
) -> GenomeEstimate:
    if genome.has_variants:
        return _estimate_variants(genome, bundle, settings, bins, indexes)
    windows = settings.windows
    strands = windows.n_strands
    index = indexes / f"{genome.name}.fai"
    contigs = read_contigs(genome, index, sample)
    if genome.regions:
        contigs, lengths = _regions(genome.regions, settings.regions, strands)
    else:
        lengths = [(length, count * strands) for length, count in contigs.lengths]
    tiled = not genome.regions or settings.regions.rows == "window"
    if not tiled:
        needed = settings.regions.flank > 0 or settings.regions.off_contig == "clip"
        known = (
            indexed_lengths(genome, index)
            or (needed and known_lengths(genome.fasta, genome.full_names))
            or None
        )
        counts = tally_regions(genome, known, windows, settings.regions, bins)
        stretches, run = counts["windows"], counts["tokens"]
        exact = known is not None or not needed
    else:
        counts = tally(lengths, windows, bins)
        stretches, run, exact = counts["windows"], counts["bases"], contigs.exact
        if windows.has_spans:
            stretches, run, exact = _runs(genome, contigs, settings, index)
    return GenomeEstimate(
        genome.name,
        bundle,
        round(contigs.bases),
        round(contigs.count),
        round(counts["windows"]),
        round(run + settings.packing.bos * stretches),
        {width: round(rows) for width, rows in counts["rows"].items()},
        exact,
        tiled,
        counts.get("short", 0),
    )


def _estimate_variants(
    genome: Genome, bundle: str, settings: Settings, bins: set[int], indexes: Path
) -> GenomeEstimate:
    """Of a genome with variants; its bases are those of the FASTA file."""
    known = indexed_lengths(genome, indexes / f"{genome.name}.fai") or known_lengths(
        genome.fasta, genome.full_names
    )
    counts = tally_variants(genome, known, settings, bins)
    shares = shared_tokens(genome, known, settings)
    exact = counts["exact"] and known is not None
    contigs = len(sites_of(genome, known, settings)[0])
    bases = sum(known.values()) if known else guess_bases(genome)
    tokens = counts["tokens"] + settings.packing.bos * counts["stretches"]
    numbers = (round(bases), contigs, counts["windows"], tokens, counts["rows"])
    more = counts["covered"], counts["points"]
    return GenomeEstimate(genome.name, bundle, *numbers, exact, False, 0, shares, *more)


def _runs(
    genome: Genome, contigs: Contigs, settings: Settings, index: Path
) -> tuple[float, float, bool]:
    """Stretches, their bases, and whether the bases are exact."""
    if not genome.regions:
        return *run_contigs(contigs.lengths, settings.windows), contigs.exact
    lengths = indexed_lengths(genome, index)
    regions = read_regions(genome.regions, settings.regions)
    return *run_regions(regions, lengths, settings.windows), lengths is not None


def _regions(
    path: str, settings: RegionSettings, strands: int
) -> tuple[Contigs, list[tuple[float, float]]]:
    """The bases of regions and their contigs, and each region's length and strands."""
    regions = read_regions(path, settings)
    lengths = [
        (length, 1 if strand else strands)
        for mine in regions.values()
        for length, strand in zip(mine.length.tolist(), mine.strand.tolist(), strict=True)
    ]
    bases = sum(length for length, _ in lengths)
    return Contigs([(bases / len(regions), len(regions))], True), lengths


def _estimate_layers(
    settings: Settings, genomes: list[GenomeEstimate], shards: int, bundles: int
) -> list[LayerEstimate]:
    windows, contigs = sum(g.windows for g in genomes), sum(g.contigs for g in genomes)
    strands, layers = settings.windows.n_strands, []
    of_variants = sum(genome.windows for genome in genomes if genome.shares)
    for name, extraction in settings.extractions.items():
        pooling, widths = extraction.pooling, layer_widths(extraction.model.name)
        rows = windows
        # Shards also have the rows of variants over the bases from the variant on.
        twice = of_variants and not extraction.bin
        # Two windows per row of the dataset of variants, or four.
        compared = of_variants // (4 if settings.variants.strands == "mean" else 2)
        alleles = compared, len({genome.bundle for genome in genomes if genome.shares})
        if extraction.bin:
            rows = sum(genome.rows[extraction.bin] for genome in genomes)
        groups = {"contig": contigs, "genome": len(genomes)}
        means = [groups[level] for level in extraction.levels]
        for layer in extraction.layers:
            width = widths[layer]
            size = filesizes.shard_files(extraction, width, rows, shards)
            stored = filesizes.dataset(extraction, width, rows, bundles, means, strands)
            if twice:
                size += filesizes.shard_files(extraction, width, of_variants, shards)
                stored += filesizes.alleles(width, *alleles)
            copies = filesizes.exports(settings, extraction.dtype, width, rows)
            sizes = size, stored, copies
            layers.append(
                LayerEstimate(name, layer, pooling, extraction.dtype, width, rows, *sizes)
            )
        if extraction.scores:
            files = 2 * shards if twice else shards
            read = rows + of_variants if twice else rows
            scored = _estimate_scores(name, extraction, rows, read, files, bundles)
            if twice and not extraction.layers:
                stored = scored.dataset_bytes + filesizes.alleles(0, *alleles)
                scored = replace(scored, dataset_bytes=stored)
            drawn = filesizes.tracks(settings, 1, scored.rows)
            layers.append(replace(scored, export_bytes=drawn))
        layers += _estimate_fusions(name, settings, rows, bundles)
        layers += _estimate_heads(name, extraction, rows, bundles, settings)
    return layers


def _estimate_scores(
    name: str, extraction: Extraction, rows: int, in_shards: int, files: int, bundles: int
) -> LayerEstimate:
    """The scores, which have no vector: two numbers and a count per row."""
    mine = rows if extraction.score_strands == "keep" else rows // 2
    sizes = filesizes.scores(in_shards, files, 0), filesizes.scores(mine, 0, bundles)
    return LayerEstimate(name, SCORES, extraction.pooling, "float64", 2, mine, *sizes)


def _estimate_fusions(
    where: str, settings: Settings, rows: int, bundles: int
) -> list[LayerEstimate]:
    extraction = settings.extractions[where]
    known, pooling = layer_widths(extraction.model.name), extraction.pooling
    # Fused vectors compress like means.
    stored = replace(extraction, pooling="mean")
    fusions = []
    for name, fusion in extraction.fusion.items():
        widths = [known[layer] for layer in fusion.layers]
        width = joined_width(fusion.method, fusion.strands, widths)
        mine = rows if fusion.strands == "keep" else rows // 2
        size = filesizes.dataset(stored, width, mine, bundles, [], 1)
        sizes = 0, size, filesizes.exports(settings, extraction.dtype, width, mine)
        fusions.append(LayerEstimate(where, name, pooling, extraction.dtype, width, mine, *sizes))
    return fusions


def _estimate_heads(
    where: str, extraction: Extraction, rows: int, bundles: int, settings: Settings
) -> list[LayerEstimate]:
    pooling, heads = extraction.pooling, []
    for name, head in extraction.heads.items():
        fusion = extraction.fusion.get(head.layer)
        mine = rows if fusion is None or fusion.strands == "keep" else rows // 2
        if head.file is None:
            width = features = read_labels(settings.probe).n_outputs
        else:
            features = HeadFile.open(head.file).outputs
            width = head.k or features
        size = filesizes.head(width, head.k is not None, mine, bundles)
        drawn = (width if head.tracks is None else len(head.tracks)) if head.is_drawn else 0
        sizes = 0, size, filesizes.tracks(settings, drawn, mine)
        known = LayerEstimate(where, name, pooling, "float32", width, mine, *sizes)
        heads.append(known if head.k is None else replace(known, features=features))
    return heads
