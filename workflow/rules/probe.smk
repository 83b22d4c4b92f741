# Labels to a comparison of layers, if the configuration has a section probe.
#
# in:  the file with the labels, results/chunks/{bundle}.parquet, the FASTA files,
#      results/embeddings/{extraction}/{layer}.json and the datasets beside them, files with
#      parameters that fusions name
# out: results/probes/{extraction}.labels.json
#      keys: kind, rows, labels, group, groups, block, gap, folds, settings, labels_sha256
#      results/probes/{extraction}.parquet
#      columns: layer, metric, fold, value
#      results/probes/{extraction}.json
#      keys: kind, rows, labels, group, groups, block, gap, folds, metric, scores, best, winner,
#      undecided, beats_gc_kmers, shuffled_layer, skipped, settings, labels_sha256, datasets


rule check_labels:
    """See that {input.labels} fits the rows of {wildcards.extraction}, before they are embedded."""
    input:
        labels=labels_file,
        chunks=chunk_tables,
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
        settings=check_settings,
        indexes=INDEXES,
    script:
        "../scripts/check_labels.py"


rule probe_layers:
    """See how well each layer of {wildcards.extraction} predicts the labels of {input.labels}."""
    input:
        labels=labels_file,
        check="results/probes/{extraction}.labels.json",
        records=layer_records,
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
        settings=probe_settings,
        indexes=INDEXES,
    script:
        "../scripts/probe_layers.py"
