# Chunk tables to pack files: the tokens of one embedding job.
#
# in:  results/chunks/{bundle}.parquet, and the bundle's FASTA files
# out: results/packs/{bundle}/{shard}.parquet
#      columns: pack, tokens, width, mask, cu_seqlens, stretch, position, left, chunk, segment,
#      context, genome, contig, start, end, strand, name, parts, parent,
#      length, variant, id, allele, fork, insert
#      (parent only with forks, the columns from length on only with windows of variants)


def bundle_shards(wildcards):
    """Number of a bundle's shards."""
    return RUN.bundles[wildcards.bundle].n_shards


rule pack_tokens:
    """Pack shard {wildcards.shard} of bundle {wildcards.bundle}: {params.settings[packing]}."""
    input:
        chunks="results/chunks/{bundle}.parquet",
        files=bundle_files,
    output:
        packs="results/packs/{bundle}/{shard}.parquet",
    log:
        "logs/pack_tokens/{bundle}/{shard}.log",
    benchmark:
        "benchmarks/pack_tokens/{bundle}/{shard}.tsv"
    priority: 20
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=2000,
    params:
        genomes=bundle_genomes,
        n_shards=bundle_shards,
        settings=param_of("pack_tokens"),
        indexes=INDEXES,
    script:
        "../scripts/pack_tokens.py"
