# FASTA to chunk tables.
#
# in:  the FASTA files of a bundle (plain, bgzip or gzip), and BED files where regions are given
# out: results/chunks/{bundle}.parquet
#      columns: chunk, genome, contig, start, end, strand, name, length, stretch, context, gc,
#      ambiguous, crc32
#
# results/indexes/{genome}.fai is a cache, not an output: any job that reads a genome which has its
# own bundle makes the index if it is missing or older than the FASTA file. To delete it is safe.


rule chunk_fasta:
    """Cut the genomes of bundle {wildcards.bundle} into windows: {params.settings[windows]}."""
    input:
        files=bundle_files,
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
        settings=CHUNK_SETTINGS,
        indexes=INDEXES,
    script:
        "../scripts/chunk_fasta.py"
