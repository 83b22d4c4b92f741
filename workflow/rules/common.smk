# Helpers of the rules: what to run, and what each rule's inputs and parameters are. No rules.
#
# The configuration is checked and the plan made once, when a run starts, and both are frozen in
# results/run_config.yaml. A cluster job, which parses the workflow again, takes them from there, so
# an edit of the configuration in mid-run changes nothing until the next run.

import re
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(workflow.basedir) / "workflow" / "scripts"))

from evo2_embed import CODE_VERSIONS
from evo2_embed.errors import InputError
from evo2_embed.models import layer_widths
from evo2_embed.run import INDEXES, RUN_CONFIG, freeze, load_frozen, plan_run

STARTED = time.time()


def load_run():
    """The run's settings and bundles; every fault of the configuration is a line, then the end."""
    if not workflow.is_main_process:
        return load_frozen(RUN_CONFIG)
    try:
        return plan_run(config)
    except InputError as error:
        sys.exit("\n".join(f"config error: {line}" for line in str(error).split("\n")))


RUN = load_run()
SETTINGS = RUN.settings
EXTRACTIONS = list(SETTINGS["extractions"])
MANIFESTS = [f"results/embeddings/{name}/manifest.json" for name in EXTRACTIONS]
DATASETS = {
    name: [f"results/embeddings/{name}/{layer}.json" for layer in extraction["layers"]]
    for name, extraction in SETTINGS["extractions"].items()
}
FUSED = {
    name: [f"results/embeddings/{name}/{fusion}.json" for fusion in extraction["fusion"]]
    for name, extraction in SETTINGS["extractions"].items()
}
FUSIONS = {
    fusion for extraction in SETTINGS["extractions"].values() for fusion in extraction["fusion"]
}
FINETUNE = ["results/finetune/summary.json"] if SETTINGS["export"] == "finetune" else []
EMBED_GPUS = 0 if SETTINGS["runtime"]["device"] == "cpu" else 1


wildcard_constraints:
    bundle=r"[A-Za-z0-9][A-Za-z0-9._-]*",
    shard=r"\d{5}",
    extraction=r"[A-Za-z0-9][A-Za-z0-9_-]*",
    layer=r"(embedding_layer|norm|blocks\.\d+[A-Za-z0-9_.]*)",
    # Those of the configuration; with none, a pattern that matches nothing.
    fusion="|".join(map(re.escape, sorted(FUSIONS))) or r"(?!)",


def freeze_run():
    """Keep the settings and the plan beside the results, for the jobs of this run."""
    freeze(RUN, RUN_CONFIG)


def point_to_results():
    """At the end of a run that wrote the report, say where things are."""
    page = Path("results/report.html")
    if page.exists() and page.stat().st_mtime >= STARTED:
        print(f"datasets: results/embeddings/, report: {page}, numbers: results/summary.txt")


def bundle_files(wildcards):
    """FASTA files of a bundle, and the BED files that belong to them."""
    genomes = RUN.bundles[wildcards.bundle].genomes
    return [file for genome in genomes for file in (genome.fasta, genome.regions) if file]


def bundle_genomes(wildcards):
    """Rows of the sheet that a bundle has."""
    return [
        [genome.name, genome.fasta, genome.regions]
        for genome in RUN.bundles[wildcards.bundle].genomes
    ]


def chunk_threads(wildcards):
    """Two for a large genome, which other jobs wait for; small ones are cut side by side."""
    return 2 if RUN.bundles[wildcards.bundle].n_shards > 1 else 1


def bundle_shards(wildcards):
    """Number of a bundle's shards."""
    return RUN.bundles[wildcards.bundle].n_shards


def local_checkpoint(wildcards):
    """The weights that the configuration names, if they are a file."""
    weights = RUN.models[wildcards.model]["checkpoint"]
    return [] if weights is None else [weights]


def model_of_record(wildcards):
    """Name and checkpoint of the model of a record."""
    return RUN.models[wildcards.model]


def model_record(wildcards):
    """Record of the weights that an extraction runs on."""
    return f"results/models/{RUN.model_keys[wildcards.extraction]}.json"


CHUNK_SETTINGS = {"code": CODE_VERSIONS["chunk"], "windows": SETTINGS["windows"]}
PACK_SETTINGS = {"code": CODE_VERSIONS["pack"], "packing": SETTINGS["packing"]}
SPLIT_SETTINGS = {
    "code": CODE_VERSIONS["export"],
    **{key: SETTINGS["finetune"][key] for key in ("split", "block", "gap", "validation_share")},
}
EXPORT_SETTINGS = {
    "code": CODE_VERSIONS["export"],
    "pad_token": SETTINGS["finetune"]["pad_token"],
}
EMBED_SETTINGS = {name: RUN.embed_settings(name) for name in EXTRACTIONS}


def embed_settings(wildcards):
    """All that an extraction's embeddings depend on, but for packs and weights."""
    return EMBED_SETTINGS[wildcards.extraction]


def aggregate_settings(wildcards):
    """What the shards of an extraction have to be made with, and how they are put together."""
    return {
        "code": CODE_VERSIONS["aggregate"],
        "embed": EMBED_SETTINGS[wildcards.extraction],
        "levels": SETTINGS["extractions"][wildcards.extraction]["levels"],
    }


COMPARE_SETTINGS = {"code": CODE_VERSIONS["compare"], "rows": SETTINGS["compare"]["rows"]}
COMPARISONS = [
    f"results/comparisons/{name}.json" for name in EXTRACTIONS if SETTINGS["compare"]["rows"]
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
    return {"control": name} if SETTINGS["compare"]["control"] else {}


def compare_memory(wildcards):
    """Memory of a comparison (MB): a matrix of rows by rows is kept of every layer."""
    rows = SETTINGS["compare"]["rows"]
    layers = len(SETTINGS["extractions"][wildcards.extraction]["layers"])
    return 1000 + (layers * 4 + 40) * rows**2 // 10**6


def chunk_tables(wildcards):
    """Chunk tables of all bundles, in the order of the sheet."""
    return [f"results/chunks/{bundle}.parquet" for bundle in RUN.bundles]


def shard_files(name):
    """A function that lists a file of every shard of an extraction, in order."""

    def files(wildcards):
        return [
            f"results/shards/{wildcards.extraction}/{bundle.name}/{shard}/{name}"
            for bundle in RUN.bundles.values()
            for shard in bundle.shards
        ]

    return files


def export_records(wildcards):
    """Records of what every shard gives to the training set, in order."""
    return [
        f"results/export/{bundle.name}/{shard}/export.json"
        for bundle in RUN.bundles.values()
        for shard in bundle.shards
    ]


def shard_counts(wildcards):
    """Number of shards of every bundle, in the order of the sheet."""
    return [bundle.n_shards for bundle in RUN.bundles.values()]


def layer_records(wildcards):
    """Records of an extraction's datasets, one a layer."""
    return DATASETS[wildcards.extraction]


def layer_names(wildcards):
    """Layers of an extraction, in the order of the configuration."""
    return SETTINGS["extractions"][wildcards.extraction]["layers"]


REPORT_SETTINGS = {"code": CODE_VERSIONS["report"], **SETTINGS["report"]}
# Rules in the order of the data, for the report's table of what each took.
STAGES = [
    "chunk_fasta",
    "pack_tokens",
    "embed_shard",
    "aggregate_embeddings",
    "embed_control",
    "compare_layers",
]


def fused_records(wildcards):
    """Records of an extraction's fused datasets."""
    return FUSED[wildcards.extraction]


def fusion_names(wildcards):
    """Fusions of an extraction, in the order of the configuration."""
    return list(SETTINGS["extractions"][wildcards.extraction]["fusion"])


def fusion_of(wildcards):
    """What the configuration says of a fusion."""
    return SETTINGS["extractions"][wildcards.extraction]["fusion"][wildcards.fusion]


def fusion_layers(wildcards):
    """Records of the layers that a fusion joins."""
    layers = fusion_of(wildcards)["layers"]
    return [f"results/embeddings/{wildcards.extraction}/{layer}.json" for layer in layers]


def fusion_parameters(wildcards):
    """The file of parameters that a fusion takes, if it fits none."""
    given = fusion_of(wildcards)["parameters"]
    return [] if given is None else [given]


def fusion_labels(wildcards):
    """The labels, if a fusion learns its weights."""
    return [SETTINGS["probe"]["labels"]] if fusion_of(wildcards)["weights"] == "probe" else []


def fit_settings(wildcards):
    """What the parameters of a fusion depend on, but for files."""
    fusion = fusion_of(wildcards)
    settings = {"code": CODE_VERSIONS["fuse"]}
    settings |= {key: fusion[key] for key in ("method", "layers", "weights")}
    if fusion["weights"] != "probe":
        return settings
    genomes = [genome.name for bundle in RUN.bundles.values() for genome in bundle.genomes]
    return {**settings, "probe": SETTINGS["probe"], "genomes": genomes}


def fuse_settings(wildcards):
    """How the rows of a fused dataset follow from its layers' and the parameters."""
    fusion = fusion_of(wildcards)
    return {"code": CODE_VERSIONS["fuse"], "method": fusion["method"], "strands": fusion["strands"]}


def fit_memory(wildcards, attempt):
    """Megabytes for a fusion's sample: 5,000 rows of all layers, four times. Labels need the keys of
    all rows."""
    widths = layer_widths(SETTINGS["extractions"][wildcards.extraction]["model"]["name"])
    numbers = 5000 * sum(widths[layer] for layer in fusion_of(wildcards)["layers"])
    base = 2000 if fusion_of(wildcards)["weights"] == "probe" else 1000
    return (base + numbers * 4 * 4 // 1_000_000) * attempt


def all_speeds(wildcards):
    """Speeds of all shards of all extractions."""
    return [
        f"results/shards/{name}/{bundle.name}/{shard}/speed.json"
        for name in EXTRACTIONS
        for bundle in RUN.bundles.values()
        for shard in bundle.shards
    ]
