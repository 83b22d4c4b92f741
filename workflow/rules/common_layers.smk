# Helpers of the rules that compare, fuse and probe layers, and of the training set. No rules.

from evo2_embed.analysis.burn_in.places import longest_context, measure_mb
from evo2_embed.model.models import layer_widths
from evo2_embed.analysis.probes.memory import probe_mb

PROBES = [
    f"results/probes/{name}.{kind}"
    for name in EXTRACTIONS
    if SETTINGS.probe
    for kind in ("json", "parquet")
]
FINETUNE = ["results/finetune/summary.json"] if SETTINGS.export == "finetune" else []
GENOMES = [genome.name for bundle in RUN.bundles.values() for genome in bundle.genomes]


COMPARE_SETTINGS = {"code": CODE_VERSIONS["compare"], "rows": SETTINGS.compare.rows}
COMPARISONS = [
    f"results/comparisons/{name}.json" for name in EXTRACTIONS if SETTINGS.compare.rows
]
# Bundles that shuffled windows are taken from: a few, for a run may have thousands.
CONTROL_BUNDLES = list(RUN.bundles.values())[:: -(-len(RUN.bundles) // 8)]


def control_tables(wildcards):
    """Chunk tables of the bundles that shuffled windows are taken from."""
    return [f"results/chunks/{bundle.name}.parquet" for bundle in CONTROL_BUNDLES]


def control_genomes(wildcards):
    """Rows of the sheet that these bundles have, bundle by bundle."""
    return [
        [[genome.name, genome.fasta, genome.regions] for genome in bundle.genomes]
        for bundle in CONTROL_BUNDLES
    ]


def control_files(wildcards):
    """FASTA files of these bundles."""
    return [genome.fasta for bundle in CONTROL_BUNDLES for genome in bundle.genomes]


def control_record(wildcards):
    """Record of the embeddings of shuffled windows, if there are any."""
    name = f"results/controls/{wildcards.extraction}/shard.json"
    return {"control": name} if SETTINGS.compare.control else {}


def compare_memory(wildcards):
    """Memory of a comparison (MB): a matrix of rows by rows is kept of every layer."""
    rows = SETTINGS.compare.rows
    layers = len(SETTINGS.extractions[wildcards.extraction].layers)
    return 1000 + (layers * 4 + 40) * rows**2 // 10**6


BURN_INS = [f"results/burn_in/{name}.json" for name in EXTRACTIONS if SETTINGS.burn_in.length]
# What is measured on one contig: of the genomes that come first.
BURN_IN_BUNDLE = next(iter(RUN.bundles.values()))
BURN_IN_FILES = [genome.fasta for genome in BURN_IN_BUNDLE.genomes]
BURN_IN_GENOMES = [[genome.name, genome.fasta] for genome in BURN_IN_BUNDLE.genomes]
BURN_IN_SETTINGS = {"code": CODE_VERSIONS["burn_in"]}


def burn_in_places(wildcards):
    """What decides which bases are run to measure the burn-in of an extraction."""
    return {
        "code": CODE_VERSIONS["burn_in"],
        "length": longest_context(SETTINGS, wildcards.extraction),
        "starts": SETTINGS.burn_in.starts,
        "strand": "-" if SETTINGS.windows.strands == "-" else "+",
    }


def burn_in_memory(wildcards):
    """Memory of a measurement (MB)."""
    return measure_mb(SETTINGS.extractions[wildcards.extraction], SETTINGS.burn_in)


def export_records(wildcards):
    """Records of what every shard gives to the training set, in order."""
    return [
        f"results/export/{bundle.name}/{shard}/export.json"
        for bundle in RUN.bundles.values()
        for shard in bundle.shards
    ]


def fused_records(wildcards):
    """Records of an extraction's fused datasets."""
    return FUSED[wildcards.extraction]


def fusion_names(wildcards):
    """Fusions of an extraction, in the order of the configuration."""
    return list(SETTINGS.extractions[wildcards.extraction].fusion)


def fusion_of(wildcards):
    """What the configuration says of a fusion."""
    return SETTINGS.extractions[wildcards.extraction].fusion[wildcards.fusion]


def fusion_layers(wildcards):
    """Records of the layers that a fusion joins."""
    layers = fusion_of(wildcards).layers
    return [f"results/embeddings/{wildcards.extraction}/{layer}.json" for layer in layers]


def fusion_parameters(wildcards):
    """The file of parameters that a fusion takes, if it fits none."""
    given = fusion_of(wildcards).parameters
    return [] if given is None else [given]


def fusion_labels(wildcards):
    """The labels, if a fusion learns its weights."""
    return [SETTINGS.probe.labels] if fusion_of(wildcards).weights == "probe" else []


def fit_settings(wildcards):
    """What the parameters of a fusion depend on, but for files."""
    fusion = fusion_of(wildcards)
    settings = {"code": CODE_VERSIONS["fuse"]}
    settings |= {"method": fusion.method, "layers": fusion.layers, "weights": fusion.weights}
    if fusion.weights != "probe":
        return settings
    return {**settings, "probe": SETTINGS.probe.to_dict(), "genomes": GENOMES}


def fuse_settings(wildcards):
    """How the rows of a fused dataset follow from its layers' and the parameters."""
    fusion = fusion_of(wildcards)
    return {"code": CODE_VERSIONS["fuse"], "method": fusion.method, "strands": fusion.strands}


def fit_memory(wildcards, attempt):
    """Megabytes for a fusion's sample: 5,000 rows of all layers, four times. Labels need the keys of
    all rows."""
    widths = layer_widths(SETTINGS.extractions[wildcards.extraction].model.name)
    numbers = 5000 * sum(widths[layer] for layer in fusion_of(wildcards).layers)
    base = 2000 if fusion_of(wildcards).weights == "probe" else 1000
    return (base + numbers * 4 * 4 // 1_000_000) * attempt


def labels_file(wildcards):
    """The file with the labels."""
    return SETTINGS.probe.labels


def fasta_files(wildcards):
    """FASTA files of all genomes."""
    return [genome.fasta for bundle in RUN.bundles.values() for genome in bundle.genomes]


def genomes_by_bundle(wildcards):
    """Names and FASTA files of the genomes, bundle by bundle."""
    return [
        [[genome.name, genome.fasta] for genome in bundle.genomes]
        for bundle in RUN.bundles.values()
    ]


def check_settings(wildcards):
    """What decides which rows have which label, and which are probed."""
    return {
        "code": CODE_VERSIONS["probe"],
        "probe": SETTINGS.probe.to_dict(),
        "pooling": SETTINGS.extractions[wildcards.extraction].pooling,
    }


def probe_settings(wildcards):
    """What the probes of an extraction depend on, but for its datasets."""
    fusions = SETTINGS.extractions[wildcards.extraction].fusion
    return {
        "code": CODE_VERSIONS["probe"],
        "probe": SETTINGS.probe.to_dict(),
        "fusion": {name: fusion.to_dict() for name, fusion in fusions.items()},
    }


def given_parameters(wildcards):
    """Files with fitted parameters that fusions of an extraction name."""
    fusions = SETTINGS.extractions[wildcards.extraction].fusion.values()
    return [fusion.parameters for fusion in fusions if fusion.parameters]


def probe_memory(wildcards):
    """MB for the rows that are probed, a few times over: of one layer, or all that a fusion joins."""
    extraction = SETTINGS.extractions[wildcards.extraction]
    return probe_mb(extraction, SETTINGS.probe.max_rows)
