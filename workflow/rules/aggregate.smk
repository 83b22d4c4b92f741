# Shards to datasets, and the manifest of each extraction.
#
# in:  results/shards/{extraction}/{bundle}/{shard}/shard.json and the files that they name,
#      results/chunks/{bundle}.parquet
# out: results/embeddings/{extraction}/{layer}.json
#      keys: parts (file, rows, bytes, sha256 of each), rows, width, settings, digests; written last
#      results/embeddings/{extraction}/{layer}/part-00000.parquet and on
#      columns: genome, contig, start, end, strand, name, n_tokens, context, embedding
#      results/embeddings/{extraction}/{layer}.contig.parquet and .genome.parquet, if asked for
#      columns: genome, contig, strand, n_rows, n_tokens, embedding
#      results/embeddings/{extraction}/manifest.json, of fused datasets as well


rule aggregate_embeddings:
    """Check, sort and write the dataset of layer {wildcards.layer} of {wildcards.extraction}."""
    input:
        records=shard_files("shard.json"),
        chunks=chunk_tables,
    output:
        record="results/embeddings/{extraction}/{layer}.json",
    log:
        "logs/aggregate_embeddings/{extraction}/{layer}.log",
    benchmark:
        "benchmarks/aggregate_embeddings/{extraction}/{layer}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=2000,
    params:
        settings=aggregate_settings,
        shard_counts=shard_counts,
    script:
        "../scripts/aggregate_embeddings.py"


rule write_manifest:
    """Write down what the datasets of {wildcards.extraction} are and were made from."""
    input:
        records=layer_records,
        fused=fused_records,
        chunks=chunk_tables,
    output:
        manifest=report(
            "results/embeddings/{extraction}/manifest.json",
            caption="../report/manifest.rst",
            category="Datasets",
        ),
    log:
        "logs/write_manifest/{extraction}.log",
    benchmark:
        "benchmarks/write_manifest/{extraction}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=500,
    params:
        layers=layer_names,
        fusions=fusion_names,
    script:
        "../scripts/write_manifest.py"
