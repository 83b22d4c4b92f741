# Shards with variants to datasets of how the alternate alleles differ from the reference.
#
# in:  results/shards/{extraction}/{bundle}/{shard}/shard.json and the files that they name,
#      results/chunks/{bundle}.parquet
# out: results/variants/{extraction}/{layer}.json
#      keys: settings, packing, checkpoint_sha256, packages, model, pooling, precision, engine,
#      workflow, layer, self_check, windows, digest, variants, strands, rows, width, parts (file,
#      rows, bytes, sha256 of each), levels; written last
#      results/variants/{extraction}/{layer}/part-00000.parquet and following
#      columns: variant, id, genome, contig, position, ref, alt, strand, delta, delta_downstream,
#      cosine, cosine_downstream, euclidean, euclidean_downstream
#      with scores also: llr, llr_downstream
# An extraction without layers has the layer `scores`: without width, and of the columns after strand
# only those of scores.


rule compare_alleles:
    """Compare the alleles of all variants in layer {wildcards.layer} of {wildcards.extraction}."""
    input:
        records=whole(
            "results/variants/{extraction}/{layer}.json",
            made_by("embed_shard", "record"),
        ),
        chunks=made_by("chunk_fasta"),
    output:
        record="results/variants/{extraction}/{layer}.json",
    log:
        "logs/compare_alleles/{extraction}/{layer}.log",
    benchmark:
        "benchmarks/compare_alleles/{extraction}/{layer}.tsv"
    conda:
        "../../envs/cpu.yaml"
    wildcard_constraints:
        layer=f"{SCORES}|{LAYER}",
    resources:
        mem_mb=2000,
    params:
        settings=param_of("compare_alleles"),
        shard_counts=shard_counts,
    script:
        "../scripts/compare_alleles.py"
