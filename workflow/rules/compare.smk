# The layers of an extraction, compared without labels, for the report.
#
# in:  results/embeddings/{extraction}/{layer}.json and the datasets that they name,
#      results/chunks/{bundle}.parquet and FASTA files of a few bundles, results/models/{model}.json
# out: results/controls/packs.parquet, windows with their bases shuffled
#      columns: those of a pack file
#      results/controls/{extraction}/shard.json, results/controls/{extraction}/speed.json and
#      results/controls/{extraction}/{layer}.parquet: their embeddings, as a shard's
#      results/comparisons/{extraction}.json
#      keys: layers (effective_rank, variance, cosine, cosine_to_shuffled, alike of each), cka


rule shuffle_windows:
    """Shuffle the bases of {params.number} windows."""
    input:
        chunks=control_tables,
        files=control_files,
    output:
        packs="results/controls/packs.parquet",
    log:
        "logs/shuffle_windows.log",
    benchmark:
        "benchmarks/shuffle_windows.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=2000,
    params:
        genomes=control_genomes,
        number=SETTINGS.compare.control,
        settings=PACK_SETTINGS,
        indexes=INDEXES,
    script:
        "../scripts/shuffle_windows.py"


use rule embed_shard as embed_control with:
    input:
        packs="results/controls/packs.parquet",
        model=model_record,
    output:
        record="results/controls/{extraction}/shard.json",
        speed="results/controls/{extraction}/speed.json",
    log:
        "logs/embed_control/{extraction}.log",
    benchmark:
        "benchmarks/embed_control/{extraction}.tsv"


rule compare_layers:
    """Compare the layers of {wildcards.extraction} without labels."""
    input:
        unpack(control_record),
        records=layer_records,
    output:
        comparison=report(
            "results/comparisons/{extraction}.json",
            caption="../report/comparison.rst",
            category="Layers",
        ),
    log:
        "logs/compare_layers/{extraction}.log",
    benchmark:
        "benchmarks/compare_layers/{extraction}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=compare_memory,
    params:
        layers=layer_names,
        settings=COMPARE_SETTINGS,
    script:
        "../scripts/compare_layers.py"
