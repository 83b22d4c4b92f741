# The genomes of the run: their counts, and those that are left out.
#
# in:  results/chunks/{bundle}.parquet
# out: results/genomes.parquet
#      columns: genome, fasta, contigs, bases, windows, tokens, skipped, reason, and the further
#      columns of the sheet
#      results/skipped.tsv
#      columns: genome, file, reason, digest


rule list_genomes:
    """List the genomes of the run, and those that are left out."""
    input:
        chunks=made_by("chunk_fasta"),
    output:
        table="results/genomes.parquet",
        skipped="results/skipped.tsv",
    log:
        "logs/list_genomes.log",
    benchmark:
        "benchmarks/list_genomes.tsv"
    priority: 30
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=1000,
    params:
        settings=param_of("list_genomes"),
    script:
        "../scripts/list_genomes.py"
