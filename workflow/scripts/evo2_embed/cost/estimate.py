"""What a run will make, before it runs: windows, tokens, rows, jobs and bytes.

It follows from the settings, the plan and the sizes of files; light, since a limit on the output is
checked when the workflow is parsed.
"""

from dataclasses import dataclass
from pathlib import Path

from evo2_embed.cost import filesizes
from evo2_embed.cost.contigs import Contigs, read_contigs, sample_size
from evo2_embed.models import layer_widths
from evo2_embed.plan import Bundle
from evo2_embed.sheet import Genome, read_regions


@dataclass(frozen=True)
class GenomeEstimate:
    """What is expected of a genome; `tokens` count a BOS before every window if there is one.

    `rows` has by bin size the rows of an extraction with such bins; `exact` says whether its
    contigs were read, or guessed from a part of the file.
    """

    name: str
    bundle: str
    bases: int
    contigs: int
    windows: int
    tokens: int
    rows: dict[int, int]
    exact: bool


@dataclass(frozen=True)
class LayerEstimate:
    """Rows and bytes of one layer of an extraction: its shard files together, its dataset."""

    extraction: str
    layer: str
    pooling: str | dict
    dtype: str
    width: int
    rows: int
    shard_bytes: int
    dataset_bytes: int


@dataclass(frozen=True)
class Estimate:
    """All that is expected of a run."""

    genomes: list[GenomeEstimate]
    layers: list[LayerEstimate]
    shards: int
    jobs: dict[str, int]
    chunk_bytes: int
    pack_bytes: int

    @property
    def windows(self) -> int:
        """Windows of all genomes."""
        return sum(genome.windows for genome in self.genomes)

    @property
    def tokens(self) -> int:
        """Tokens of all genomes: what each extraction runs through its model."""
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
    def bytes(self) -> int:
        """All that `results/` will hold: chunk tables, packs, shard files and datasets."""
        return self.chunk_bytes + self.pack_bytes + self.shard_bytes + self.dataset_bytes


def estimate_run(settings: dict, bundles: dict[str, Bundle], indexes: str | Path) -> Estimate:
    """Estimate a run from its settings, its plan and the sizes of its files.

    Parameters
    ----------
    settings : dict
        Complete, as `run.plan_run` gives them.
    bundles : dict of str to Bundle
    indexes : path
        Folder in which earlier runs left FASTA indexes; those that are up to date are read.

    Raises
    ------
    InputError
        When a BED file cannot be read.
    """
    sample = sample_size(sum(len(bundle.genomes) for bundle in bundles.values()))
    bins = _bins(settings["extractions"])
    genomes = [
        _estimate_genome(genome, bundle.name, settings, bins, Path(indexes), sample)
        for bundle in bundles.values()
        for genome in bundle.genomes
    ]
    shards = sum(bundle.n_shards for bundle in bundles.values())
    windows, tokens = sum(g.windows for g in genomes), sum(g.tokens for g in genomes)
    return Estimate(
        genomes,
        _estimate_layers(settings, genomes, shards),
        shards,
        _count_jobs(settings, len(bundles), shards),
        filesizes.chunk_tables(windows, len(bundles)),
        filesizes.pack_files(settings["windows"], tokens, windows, shards),
    )


def tally(lengths: list[tuple[float, float]], windows: dict, bins: set[int]) -> dict:
    """Windows over contigs of these lengths, on one strand.

    Parameters
    ----------
    lengths : list of (float, float)
        Bases of a contig, or a region, and how many there are.
    windows : dict
        The section of the settings.
    bins : set of int
        Bin sizes to count rows for.

    Returns
    -------
    dict
        `windows`, `bases` in them, and `rows` by bin size.
    """
    size, stride, least = windows["size"], windows["stride"], windows["min_length"]
    result = {"windows": 0.0, "bases": 0.0, "rows": dict.fromkeys(bins, 0.0)}
    for length, count in lengths:
        length = round(length)
        if length < least:
            continue
        # As windows.tile_windows does it: all but the last are full.
        number = min(1 + max(0, -(-(length - size) // stride)), -(-length // stride))
        last = min(size, length - (number - 1) * stride)
        if windows["last"] == "shift":
            last = min(size, length)
        for bases, many in ((size, number - 1), (last, 1)):
            if bases >= least:
                result["windows"] += many * count
                result["bases"] += many * bases * count
                for width in bins:
                    result["rows"][width] += many * -(-bases // width) * count
    return result


def _estimate_genome(
    genome: Genome, bundle: str, settings: dict, bins: set[int], indexes: Path, sample: int
) -> GenomeEstimate:
    windows = settings["windows"]
    strands = 2 if windows["strands"] == "both" else 1
    contigs = read_contigs(genome, indexes / f"{genome.name}.fai", sample)
    if genome.regions:
        contigs, lengths = _regions(genome.regions, strands)
    else:
        lengths = [(length, count * strands) for length, count in contigs.lengths]
    counts = tally(lengths, windows, bins)
    return GenomeEstimate(
        genome.name,
        bundle,
        round(contigs.bases),
        round(contigs.count),
        round(counts["windows"]),
        round(counts["bases"] + settings["packing"]["bos"] * counts["windows"]),
        {width: round(rows) for width, rows in counts["rows"].items()},
        contigs.exact,
    )


def _regions(path: str, strands: int) -> tuple[Contigs, list[tuple[float, float]]]:
    """The bases of regions and their contigs, and each region's length and strands."""
    regions = read_regions(path)
    flat = [region for lines in regions.values() for region in lines]
    lengths = [(r.end - r.start, 1 if r.strand else strands) for r in flat]
    bases = sum(length for length, _ in lengths)
    return Contigs([(bases / len(regions), len(regions))], True), lengths


def _bins(extractions: dict) -> set[int]:
    poolings = [extraction["pooling"] for extraction in extractions.values()]
    return {pooling["bin"] for pooling in poolings if isinstance(pooling, dict)}


def _estimate_layers(
    settings: dict, genomes: list[GenomeEstimate], shards: int
) -> list[LayerEstimate]:
    windows, contigs = sum(g.windows for g in genomes), sum(g.contigs for g in genomes)
    strands = 2 if settings["windows"]["strands"] == "both" else 1
    layers = []
    for name, extraction in settings["extractions"].items():
        pooling, widths = extraction["pooling"], layer_widths(extraction["model"]["name"])
        rows = windows
        if isinstance(pooling, dict):
            rows = sum(genome.rows[pooling["bin"]] for genome in genomes)
        groups = {"contig": contigs, "genome": len(genomes)}
        means = [groups[level] for level in extraction["levels"]]
        for layer in extraction["layers"]:
            width = widths[layer]
            sizes = (
                filesizes.shard_files(extraction, width, rows, shards),
                filesizes.dataset(extraction, width, rows, means, strands),
            )
            layers.append(
                LayerEstimate(name, layer, pooling, extraction["dtype"], width, rows, *sizes)
            )
    return layers


def _count_jobs(settings: dict, bundles: int, shards: int) -> dict[str, int]:
    extractions = settings["extractions"]
    probes = dict.fromkeys(("check_labels", "probe_layers"), len(extractions))
    models = {tuple(extraction["model"].values()) for extraction in extractions.values()}
    return {
        "chunk_fasta": bundles,
        "pack_tokens": shards,
        "check_machine": len(models),
        "fetch_model": len(models),
        "embed_shard": shards * len(extractions),
        "aggregate_embeddings": sum(len(e["layers"]) for e in extractions.values()),
        "write_manifest": len(extractions),
        **(probes if settings["probe"] else {}),
        "write_report": 1,
    }
