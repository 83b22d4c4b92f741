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
from evo2_embed.config.context import beyond_training
from evo2_embed.io.errors import InputError
from evo2_embed.plan.rules import RULES
from evo2_embed.run.frozen import INDEXES, RUN_CONFIG, freeze, load_frozen, plan_run

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
EXTRACTIONS = list(SETTINGS.extractions)
MANIFESTS = [f"results/embeddings/{name}/manifest.json" for name in EXTRACTIONS]
DATASETS = {
    name: [f"results/embeddings/{name}/{layer}.json" for layer in extraction.layers]
    for name, extraction in SETTINGS.extractions.items()
}
FUSED = {
    name: [f"results/embeddings/{name}/{fusion}.json" for fusion in extraction.fusion]
    for name, extraction in SETTINGS.extractions.items()
}
FUSIONS = {
    fusion for extraction in SETTINGS.extractions.values() for fusion in extraction.fusion
}
EMBED_GPUS = 0 if SETTINGS.runtime.device == "cpu" else 1


wildcard_constraints:
    bundle=r"[A-Za-z0-9][A-Za-z0-9._-]*",
    shard=r"\d{5}",
    extraction=r"[A-Za-z0-9][A-Za-z0-9_-]*",
    layer=r"(embedding_layer|norm|blocks\.\d+[A-Za-z0-9_.]*)",
    # Those of the configuration; with none, a pattern that matches nothing.
    fusion="|".join(map(re.escape, sorted(FUSIONS))) or r"(?!)",


def warn():
    """Say on the terminal what one should know of the run that begins."""
    for line in beyond_training(SETTINGS):
        print(f"warning: {line}", file=sys.stderr)


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


def cut_settings(windows):
    """The section `windows`, less what changes no window."""
    context = {"min": windows.context.min, "span": windows.context.span}
    return {**windows.to_dict(), "context": context}


def local_checkpoint(wildcards):
    """The weights that the configuration names, if they are a file."""
    weights = RUN.models[wildcards.model].checkpoint
    return [] if weights is None else [weights]


def model_of_record(wildcards):
    """Name and checkpoint of the model of a record."""
    return RUN.models[wildcards.model].to_dict()


def model_record(wildcards):
    """Record of the weights that an extraction runs on."""
    return f"results/models/{RUN.model_keys[wildcards.extraction]}.json"


CHUNK_SETTINGS = {"code": CODE_VERSIONS["chunk"], "windows": cut_settings(SETTINGS.windows)}
PACK_SETTINGS = {"code": CODE_VERSIONS["pack"], "packing": SETTINGS.packing.to_dict()}
SPLIT_SETTINGS = {
    "code": CODE_VERSIONS["export"],
    "split": SETTINGS.finetune.split,
    "block": SETTINGS.finetune.block,
    "gap": SETTINGS.finetune.gap,
    "validation_share": SETTINGS.finetune.validation_share,
}
EXPORT_SETTINGS = {
    "code": CODE_VERSIONS["export"],
    "pad_token": SETTINGS.finetune.pad_token,
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
        "levels": SETTINGS.extractions[wildcards.extraction].levels,
    }


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


def shard_counts(wildcards):
    """Number of shards of every bundle, in the order of the sheet."""
    return [bundle.n_shards for bundle in RUN.bundles.values()]


def layer_records(wildcards):
    """Records of an extraction's datasets, one a layer."""
    return DATASETS[wildcards.extraction]


def layer_names(wildcards):
    """Layers of an extraction, in the order of the configuration."""
    return SETTINGS.extractions[wildcards.extraction].layers


REPORT_SETTINGS = {"code": CODE_VERSIONS["report"], **SETTINGS.report.to_dict()}
# Rules that the report's table of times has.
STAGES = [name for name, rule in RULES.items() if rule.reported]


def all_speeds(wildcards):
    """Speeds of all shards of all extractions."""
    return [
        f"results/shards/{name}/{bundle.name}/{shard}/speed.json"
        for name in EXTRACTIONS
        for bundle in RUN.bundles.values()
        for shard in bundle.shards
    ]
