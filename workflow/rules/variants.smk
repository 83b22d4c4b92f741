# Shards with variants to datasets of how the alternate alleles differ from the reference.
#
# in:  results/shards/{extraction}/{bundle}/{shard}/shard.json and the files that they name,
#      results/chunks/{bundle}.parquet
# out: results/bundles/{extraction}/{bundle}/variants/{layers}.json
#      keys: settings, packing, checkpoint_sha256, packages, model, pooling, precision, engine,
#      workflow, windows, variants, bundle, digest, shards, genomes, datasets (digest, self_check, width,
#      parts, levels of each); written last
#      results/variants/{extraction}/{layer}.json
#      keys: settings, packing, checkpoint_sha256, packages, model, pooling, precision, engine,
#      workflow, layer, self_check, windows, digest, variants, strands, rows, width, parts (file,
#      rows, bytes, sha256 of each), levels; written last
#      results/variants/{extraction}/{layer}/part-00000-{bundle}-00000.parquet and following
#      columns: variant, id, genome, contig, position, ref, alt, strand, delta, delta_downstream,
#      cosine, cosine_downstream, euclidean, euclidean_downstream
#      with scores also: llr, llr_downstream
# An extraction without layers has the layer `scores`: without width, and of the columns after strand
# only those of scores.


rule compare_bundle:
    """Compare the alleles of bundle {wildcards.bundle} of {wildcards.extraction}: {params.layers}."""
    input:
        records=made_by("embed_shard", "record"),
        chunks="results/chunks/{bundle}.parquet",
    output:
        record="results/bundles/{extraction}/{bundle}/variants/{layers}.json",
    log:
        "logs/compare_bundle/{extraction}/{bundle}/{layers}.log",
    benchmark:
        "benchmarks/compare_bundle/{extraction}/{bundle}/{layers}.tsv"
    wildcard_constraints:
        extraction=AGGREGATED,
        layers=f"{ALL_LAYERS}|{SCORES}|{LAYER}",
    priority: 15
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=2000,
    params:
        layers=bundle_allele_layers,
        genomes=bundle_genomes,
        n_shards=bundle_shards,
        settings=param_of("compare_bundle"),
    script:
        "../scripts/compare_bundle.py"


rule compare_alleles:
    """Join the bundles of the variants in layer {wildcards.layer} of {wildcards.extraction}."""
    input:
        records=joined("compare_bundle", "results/variants/{extraction}/{layer}.json"),
    output:
        record="results/variants/{extraction}/{layer}.json",
    log:
        "logs/compare_alleles/{extraction}/{layer}.log",
    benchmark:
        "benchmarks/compare_alleles/{extraction}/{layer}.tsv"
    wildcard_constraints:
        layer=f"{SCORES}|{LAYER}",
    localrule: True
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=1000,
    params:
        settings=param_of("compare_alleles"),
        bundles=bundle_names,
    script:
        "../scripts/compare_alleles.py"
