# Files at addresses to local copies, if the sheet or the configuration has addresses.
#
# in:  a FASTA file or a checkpoint at s3:// or https://, by Snakemake's storage plugins
# out: results/inputs/{file}, where the file is the address: s3/bucket/genome.fa.gz


def file_at_address(wildcards):
    """The file at an address, which Snakemake fetches for the job."""
    return storage(address_of(f"{COPIES}/{wildcards.file}"))


rule fetch_file:
    """Fetch {wildcards.file}."""
    input:
        file=file_at_address,
    output:
        file="results/inputs/{file}",
    log:
        "logs/fetch_file/{file}.log",
    benchmark:
        "benchmarks/fetch_file/{file}.tsv"
    wildcard_constraints:
        file="(s3|https?)/.+",
    priority: 40
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=500,
    script:
        "../scripts/fetch_file.py"
