# Shards to part files of their bundle, bundles to datasets, and the manifest of each extraction.
#
# in:  results/shards/{extraction}/{bundle}/{shard}/shard.json and the files that they name,
#      results/chunks/{bundle}.parquet, results/genomes.parquet, results/skipped.tsv
# out: results/bundles/{extraction}/{bundle}/{layers}.json, of the layers that one job aggregates
#      keys: settings, packing, checkpoint_sha256, packages, model, pooling, precision, engine,
#      workflow, windows, bundle, digest, shards, genomes, datasets (digest, self_check, width, dtype, parts,
#      levels of each); written last
#      results/bundles/{extraction}/{bundle}/shards/{layers}.json, what the report says of shards
#      keys: shards (first_stretch, n_stretches, first_chunk, stop_chunk, n_chunks, n_packs,
#      n_tokens, n_bases, budget_tokens, padded_tokens, tokens, seconds, tokens_per_second,
#      peak_memory_mb, device, host, threads, cpus of each); for the report
#      results/bundles/{extraction}/{bundle}/scores.json, if asked for
#      keys: settings, packing, checkpoint_sha256, packages, model, pooling, precision, engine,
#      workflow, windows, bundle, digest, shards, genomes, datasets (digest, self_check, log_p, scored,
#      parts, levels of each); written last
#      results/bundles/{extraction}/{bundle}/levels/{layer}.contig.parquet and .genome.parquet
#      columns: those of the levels of a dataset
#      results/bundles/{extraction}/{bundle}/parts/{layer}/: part files, until all bundles of the
#      layer are finished and they are moved
#      results/embeddings/{extraction}/{layer}.json
#      keys: settings, packing, checkpoint_sha256, packages, model, pooling, precision, engine,
#      workflow, layer, self_check, windows, digest, rows, width, dtype, parts (file, rows, bytes,
#      sha256 of each), levels; with rows of variants also: variants; written last
#      results/embeddings/{extraction}/{layer}/part-00000-{bundle}-00000.parquet and following
#      columns: genome, contig, start, end, strand, name, n_tokens, context, exons, embedding
#      with rows of variants also, after exons: variant, id, allele
#      results/embeddings/{extraction}/{layer}.contig.parquet and .genome.parquet, if asked for
#      columns: genome, contig, strand, n_rows, n_tokens, embedding
#      results/embeddings/{extraction}/scores.json, if asked for
#      keys: settings, packing, checkpoint_sha256, packages, model, pooling, precision, engine,
#      workflow, layer, self_check, windows, digest, strands, rows, bits_per_base, parts (file,
#      rows, bytes, sha256 of each), levels; with rows of variants also: variants; written last
#      results/embeddings/{extraction}/scores/part-00000-{bundle}-00000.parquet and following
#      columns: genome, contig, start, end, strand, name, n_tokens, context, exons, sum,
#      mean, scored
#      with rows of variants also, after exons: variant, id, allele
#      results/embeddings/{extraction}/manifest.json, also of fused datasets
#      keys: workflow, model, checkpoint_sha256, precision, pooling, engine, packages, settings,
#      genomes (fasta_sha256, genome, counts of each), layers (rows, width, dtype, parts, levels,
#      digest, self_check of each), fusions (rows, width, dtype, parts, fusion, layers, digest of
#      each), scores (rows, strands, bits_per_base, parts, digest, self_check), rows;
#      with variants also: variants (rows, strands, width, parts, digest of each layer);
#      with heads also: heads (rows, width, parts, head, digest of each);
#      if the sheet has further columns, each genome also: columns;
#      if genomes are left out also: skipped (genome, file, reason of each)


def fusion_names(wildcards):
    """Fusions of an extraction, in the order of the configuration."""
    return list(EXTRACTIONS[wildcards.extraction].fusion)


rule aggregate_bundle:
    """Check, sort and write bundle {wildcards.bundle} of {wildcards.extraction}: {params.layers}."""
    input:
        records=whole(
            "results/bundles/{extraction}/{bundle}/{layers}.json",
            made_by("embed_shard", "record"),
        ),
        speeds=made_by("embed_shard", "speed"),
        chunks="results/chunks/{bundle}.parquet",
    output:
        record="results/bundles/{extraction}/{bundle}/{layers}.json",
        shards="results/bundles/{extraction}/{bundle}/shards/{layers}.json",
    log:
        "logs/aggregate_bundle/{extraction}/{bundle}/{layers}.log",
    benchmark:
        "benchmarks/aggregate_bundle/{extraction}/{bundle}/{layers}.tsv"
    wildcard_constraints:
        extraction=AGGREGATED,
    priority: 15
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=2000,
    params:
        layers=bundle_layers,
        genomes=bundle_genomes,
        n_shards=bundle_shards,
        settings=param_of("aggregate_bundle"),
    script:
        "../scripts/aggregate_bundle.py"


rule aggregate_embeddings:
    """Join the bundles of layer {wildcards.layer} of {wildcards.extraction}."""
    input:
        records=joined("aggregate_bundle", "results/embeddings/{extraction}/{layer}.json"),
    output:
        record="results/embeddings/{extraction}/{layer}.json",
    log:
        "logs/aggregate_embeddings/{extraction}/{layer}.log",
    benchmark:
        "benchmarks/aggregate_embeddings/{extraction}/{layer}.tsv"
    localrule: True
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=1000,
    params:
        settings=param_of("aggregate_embeddings"),
        bundles=bundle_names,
    script:
        "../scripts/aggregate_embeddings.py"


rule score_bundle:
    """Check, sort and write the scores of bundle {wildcards.bundle} of {wildcards.extraction}."""
    input:
        records=made_by("embed_shard", "record"),
        chunks="results/chunks/{bundle}.parquet",
    output:
        record="results/bundles/{extraction}/{bundle}/scores.json",
    log:
        "logs/score_bundle/{extraction}/{bundle}.log",
    benchmark:
        "benchmarks/score_bundle/{extraction}/{bundle}.tsv"
    wildcard_constraints:
        extraction=AGGREGATED,
    priority: 15
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=2000,
    params:
        genomes=bundle_genomes,
        n_shards=bundle_shards,
        settings=param_of("score_bundle"),
    script:
        "../scripts/score_bundle.py"


rule aggregate_scores:
    """Join the scores of all bundles of {wildcards.extraction}."""
    input:
        records=joined("score_bundle", "results/embeddings/{extraction}/scores.json"),
    output:
        record="results/embeddings/{extraction}/scores.json",
    log:
        "logs/aggregate_scores/{extraction}.log",
    benchmark:
        "benchmarks/aggregate_scores/{extraction}.tsv"
    localrule: True
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=1000,
    params:
        settings=param_of("aggregate_scores"),
        bundles=bundle_names,
    script:
        "../scripts/aggregate_scores.py"


rule write_manifest:
    """Record what the datasets of {wildcards.extraction} are and were made from."""
    input:
        records=made_by("aggregate_embeddings"),
        fused=made_by("fuse_layers"),
        scores=made_by("aggregate_scores"),
        variants=made_by("compare_alleles"),
        heads=made_by("apply_heads"),
        chunks=made_by("chunk_fasta"),
        genomes="results/genomes.parquet",
        skipped="results/skipped.tsv",
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
