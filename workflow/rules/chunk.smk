# FASTA to chunk tables.
#
# in:  the FASTA files of a bundle (plain, bgzip or gzip), and files of regions or variants, if any
# out: results/chunks/{bundle}.parquet
#      columns: chunk, genome, contig, start, end, strand, name, length, stretch, context, gc,
#      ambiguous, crc32, parts, variant, id, allele, parent, fork, insert
#      results/indexes/{genome}.fai, a cache for later jobs, which make it again if it is missing


def chunked_files(wildcards):
    """Files of a bundle. The job runs again if a genome that it left out was repaired."""
    if wildcards.bundle in REPAIRED:
        workflow.dag.forcefiles.add(f"results/chunks/{wildcards.bundle}.parquet")
    return bundle_files(wildcards)


def chunk_threads(wildcards):
    """Two for a large genome, since other jobs wait for it; small ones run side by side."""
    return 2 if RUN.bundles[wildcards.bundle].n_shards > 1 else 1


rule chunk_fasta:
    """Cut the genomes of bundle {wildcards.bundle} into windows: {params.settings[windows]}."""
    input:
        files=chunked_files,
    output:
        chunks="results/chunks/{bundle}.parquet",
    log:
        "logs/chunk_fasta/{bundle}.log",
    benchmark:
        "benchmarks/chunk_fasta/{bundle}.tsv"
    priority: 30
    conda:
        "../../envs/cpu.yaml"
    threads: chunk_threads
    resources:
        mem_mb=1000,
    params:
        genomes=bundle_genomes,
        settings=param_of("chunk_fasta"),
        indexes=INDEXES,
    script:
        "../scripts/chunk_fasta.py"
