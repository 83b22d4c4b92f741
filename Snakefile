# evo2-embed: FASTA to a Parquet dataset of Evo 2 embeddings.
# config/config.yaml and config/genomes.tsv say what to run; config/README.md explains both.


include: "workflow/Snakefile"


# Snakemake forgets the default target of a file that is included.
workflow.default_target = workflow.modifier.modify_rulename("all")
