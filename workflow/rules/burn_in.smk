# How embeddings change with the context before them, on one contig, for the report.
#
# in:  results/chunks/{bundle}.parquet and the FASTA files of the first bundle,
#      results/models/{model}.json
# out: results/burn_in/{extraction}.packs.parquet, one long stretch, and short ones that begin within it
#      columns: those of a pack file
#      results/burn_in/{extraction}/shard.json, results/burn_in/{extraction}/speed.json and
#      results/burn_in/{extraction}/{layer}.parquet: their embeddings, as a shard's
#      results/burn_in/{extraction}.json
#      keys: reason, place, quantiles, settled_at, edges, layers (raw, centred, settled of each)


rule pack_burn_in:
    """Pack a stretch of {params.places[length]} bases, and {params.places[starts]} short ones in it."""
    input:
        chunks=f"results/chunks/{BURN_IN_BUNDLE.name}.parquet",
        files=BURN_IN_FILES,
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
        places=burn_in_places,
        settings=PACK_SETTINGS,
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


rule measure_burn_in:
    """See after how many bases the embeddings of {wildcards.extraction} are settled."""
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
        settings=BURN_IN_SETTINGS,
    script:
        "../scripts/measure_burn_in.py"
