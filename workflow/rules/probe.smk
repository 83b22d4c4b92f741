# Labels to a comparison of layers, if the configuration has a section `probe`.
#
# in:  the file with the labels, results/chunks/{bundle}.parquet, the FASTA files,
#      results/embeddings/{extraction}/{layer}.json and the datasets beside them, files with
#      parameters that fusions name
# out: results/probes/{extraction}/{source}.safetensors, of layers, and of fusions if a head asks
#      arrays: weight, bias, mean; metadata: kind, classes, layer, parameters, model,
#      checkpoint_sha256, precision, engine, pooling, rows, labels_sha256, workflow, evo2_embed
#      results/probes/{extraction}.labels.json
#      keys: kind, rows, labels, group, groups, block, gap, folds, settings, labels_sha256
#      results/probes/{extraction}.parquet
#      columns: layer, metric, fold, value
#      results/probes/{extraction}.json
#      keys: kind, rows, labels, group, groups, block, gap, folds, scores (mean, low, high of each),
#      best, winner, undecided, beats_gc_kmers, metric, shuffled_layer, skipped, settings,
#      labels_sha256, datasets

from evo2_embed.analysis.probes.memory import probe_mb


def labels_file(wildcards):
    """The file with the labels."""
    return SETTINGS.probe.labels


def fasta_files(wildcards):
    """FASTA files of all genomes."""
    return [genome.fasta for bundle in RUN.bundles.values() for genome in bundle.genomes]


def genomes_by_bundle(wildcards):
    """Names and FASTA files of the genomes, bundle by bundle; then those that are left out."""
    bundles = [bundle.genomes for bundle in RUN.bundles.values()]
    bundles += [RUN.left_out] if RUN.left_out else []
    return [
        [genome.row if genome.full_names else [genome.name, genome.fasta] for genome in genomes]
        for genomes in bundles
    ]


def given_parameters(wildcards):
    """Files with fitted parameters that fusions of an extraction name."""
    fusions = EXTRACTIONS[wildcards.extraction].fusion.values()
    return [fusion.parameters for fusion in fusions if fusion.parameters]


def source_record(wildcards):
    """Record of the dataset of a layer, or of a fusion."""
    return f"results/embeddings/{wildcards.extraction}/{wildcards.source}.json"


def source_parameters(wildcards):
    """The parameters of a fusion; nothing for a layer."""
    is_fused = wildcards.source in EXTRACTIONS[wildcards.extraction].fusion
    file = f"results/fusions/{wildcards.extraction}/{wildcards.source}.npz"
    return [file] if is_fused else []


def genomes_of_bundles(wildcards):
    """Names of all genomes, bundle by bundle; then those that are left out."""
    return [row[0] for rows in genomes_by_bundle(wildcards) for row in rows]


def probe_memory(wildcards):
    """Memory (MB) for a few copies of the probed rows: of one layer, or all that a fusion joins."""
    return probe_mb(EXTRACTIONS[wildcards.extraction], SETTINGS.probe.max_rows)


rule check_labels:
    """Check that {input.labels} fits the rows of {wildcards.extraction}, before any is embedded."""
    input:
        labels=labels_file,
        chunks=made_by("chunk_fasta"),
        fasta=fasta_files,
    output:
        record="results/probes/{extraction}.labels.json",
    log:
        "logs/check_labels/{extraction}.log",
    benchmark:
        "benchmarks/check_labels/{extraction}.tsv"
    priority: 25
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=2000,
    params:
        genomes=genomes_by_bundle,
        settings=param_of("check_labels"),
        indexes=INDEXES,
    script:
        "../scripts/check_labels.py"


rule probe_layers:
    """Measure how well each layer of {wildcards.extraction} predicts the labels of {input.labels}."""
    input:
        labels=labels_file,
        check="results/probes/{extraction}.labels.json",
        records=made_by("aggregate_embeddings"),
        fasta=fasta_files,
        parameters=given_parameters,
    output:
        table="results/probes/{extraction}.parquet",
        record=report(
            "results/probes/{extraction}.json",
            caption="../report/probe.rst",
            category="Layers",
        ),
    log:
        "logs/probe_layers/{extraction}.log",
    benchmark:
        "benchmarks/probe_layers/{extraction}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=probe_memory,
    params:
        layers=layer_names,
        genomes=genomes_by_bundle,
        settings=param_of("probe_layers"),
        indexes=INDEXES,
    script:
        "../scripts/probe_layers.py"


rule save_probe:
    """Fit the probe of {wildcards.source} to all labelled rows, and save it."""
    input:
        labels=labels_file,
        check="results/probes/{extraction}.labels.json",
        record=source_record,
        parameters=source_parameters,
    output:
        head="results/probes/{extraction}/{source}.safetensors",
    log:
        "logs/save_probe/{extraction}/{source}.log",
    benchmark:
        "benchmarks/save_probe/{extraction}/{source}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=probe_memory,
    params:
        genomes=genomes_of_bundles,
        settings=param_of("save_probe"),
    script:
        "../scripts/save_probe.py"
