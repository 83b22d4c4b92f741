# How embeddings change with upstream context, measured on one contig, for the report.
#
# in:  results/chunks/{bundle}.parquet and the FASTA files of the first bundle,
#      results/models/{model}.json
# out: results/burn_in/{extraction}.packs.parquet, one long stretch, and short ones that begin in it
#      columns: those of a pack file
#      results/burn_in/{extraction}/shard.json, results/burn_in/{extraction}/speed.json and
#      results/burn_in/{extraction}/{layer}.parquet: their embeddings, like those of a shard
#      results/burn_in/{extraction}.json
#      keys: settings, digest, place, reason, settled_at, quantiles, edges, layers (raw, centred,
#      settled of each)

from evo2_embed.analysis.burn_in.limits import measure_mb

BURN_IN_BUNDLE = next(iter(RUN.bundles.values()))
BURN_IN_GENOMES = [[genome.name, genome.fasta] for genome in BURN_IN_BUNDLE.genomes]


def burn_in_files(wildcards):
    """FASTA files of the first bundle."""
    return [genome.fasta for genome in BURN_IN_BUNDLE.genomes]


def burn_in_memory(wildcards):
    """Memory of a measurement (MB)."""
    return measure_mb(EXTRACTIONS[wildcards.extraction], SETTINGS.burn_in)


rule pack_burn_in:
    """Pack a stretch of {params.target[length]} bases, and {params.target[starts]} short ones in it."""
    input:
        chunks=f"results/chunks/{BURN_IN_BUNDLE.name}.parquet",
        files=burn_in_files,
    output:
        packs="results/burn_in/{extraction}.packs.parquet",
    log:
        "logs/pack_burn_in/{extraction}.log",
    benchmark:
        "benchmarks/pack_burn_in/{extraction}.tsv"
    priority: 20
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=2000,
    params:
        genomes=BURN_IN_GENOMES,
        target=param_of("pack_burn_in", "target"),
        settings=param_of("pack_burn_in"),
        indexes=INDEXES,
    script:
        "../scripts/pack_burn_in.py"


use rule embed_shard as embed_burn_in with:
    input:
        packs="results/burn_in/{extraction}.packs.parquet",
        model=model_record,
    output:
        record="results/burn_in/{extraction}/shard.json",
        speed="results/burn_in/{extraction}/speed.json",
    log:
        "logs/embed_burn_in/{extraction}.log",
    benchmark:
        "benchmarks/embed_burn_in/{extraction}.tsv"
    params:
        settings=param_of("embed_burn_in"),
        device=SETTINGS.runtime.device,


rule measure_burn_in:
    """Measure after how many bases the embeddings of {wildcards.extraction} are settled."""
    input:
        packs="results/burn_in/{extraction}.packs.parquet",
        record="results/burn_in/{extraction}/shard.json",
    output:
        measured=report(
            "results/burn_in/{extraction}.json",
            caption="../report/burn_in.rst",
            category="Layers",
        ),
    log:
        "logs/measure_burn_in/{extraction}.log",
    benchmark:
        "benchmarks/measure_burn_in/{extraction}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=burn_in_memory,
    params:
        settings=param_of("measure_burn_in"),
    script:
        "../scripts/measure_burn_in.py"
