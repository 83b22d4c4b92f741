# The layers of an extraction, compared without labels, for the report.
#
# in:  results/embeddings/{extraction}/{layer}.json and the datasets that they name,
#      results/chunks/{bundle}.parquet and FASTA files of a few bundles, results/models/{model}.json
# out: results/controls/packs.parquet, windows with shuffled bases
#      columns: those of a pack file
#      results/controls/{extraction}/shard.json, results/controls/{extraction}/speed.json and
#      results/controls/{extraction}/{layer}.parquet: their embeddings, like those of a shard
#      results/comparisons/{extraction}.json
#      keys: settings, digest, rows, shuffled_windows, layers (width, effective_rank, variance,
#      cosine, cosine_quantiles, cosine_to_shuffled, alike of each), cka

CONTROL_BUNDLES = control_bundles(RUN)


def control_tables(wildcards):
    """Chunk tables of these bundles."""
    return [f"results/chunks/{bundle.name}.parquet" for bundle in CONTROL_BUNDLES]


def control_files(wildcards):
    """FASTA files of these bundles."""
    return [genome.fasta for bundle in CONTROL_BUNDLES for genome in bundle.genomes]


def control_genomes(wildcards):
    """Rows of the sample sheet that are in these bundles, bundle by bundle."""
    return [[genome.row for genome in bundle.genomes] for bundle in CONTROL_BUNDLES]


def control_record(wildcards):
    """Record of the embeddings of shuffled windows, if the configuration asks for them."""
    records = made_by("embed_control", "record")(wildcards)
    return {"control": records[0]} if records else {}


def compare_memory(wildcards):
    """Memory of a comparison (MB): it keeps a matrix of rows by rows per layer."""
    rows = SETTINGS.compare.rows
    return 1000 + (len(layer_names(wildcards)) * 4 + 40) * rows**2 // 10**6


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
        number=param_of("shuffle_windows", "number"),
        settings=param_of("shuffle_windows"),
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
    params:
        settings=param_of("embed_control"),
        device=SETTINGS.runtime.device,


rule compare_layers:
    """Compare the layers of {wildcards.extraction} without labels."""
    input:
        unpack(control_record),
        records=made_by("aggregate_embeddings"),
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
        settings=param_of("compare_layers"),
    script:
        "../scripts/compare_layers.py"
