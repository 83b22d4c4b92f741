# evo2-embed: FASTA to a Parquet dataset of Evo 2 embeddings.
# config/config.yaml and config/genomes.tsv say what to run; config/README.md explains both.


include: "workflow/Snakefile"


<<<<<<< HEAD
report: "workflow/report/workflow.rst"


include: "workflow/rules/common.smk"
include: "workflow/rules/chunk.smk"
include: "workflow/rules/genomes.smk"
include: "workflow/rules/pack.smk"
include: "workflow/rules/machine.smk"
include: "workflow/rules/model.smk"
include: "workflow/rules/embed.smk"
include: "workflow/rules/aggregate.smk"
include: "workflow/rules/variants.smk"
include: "workflow/rules/compare.smk"
include: "workflow/rules/burn_in.smk"
include: "workflow/rules/fusion.smk"
include: "workflow/rules/finetune.smk"
include: "workflow/rules/probe.smk"
include: "workflow/rules/report.smk"


rule all:
    default_target: True
    input:
        datasets=made_by("aggregate_embeddings"),
        fused=made_by("fuse_layers"),
        scores=made_by("aggregate_scores"),
        variants=made_by("compare_alleles"),
        manifests=made_by("write_manifest"),
        finetune=made_by("write_finetune", "summary"),
        probes=made_by("probe_layers"),
        report="results/report.html",


onstart:
    prepare_run()


onsuccess:
    point_to_results()


onerror:
    explain_end()
=======
# Snakemake forgets the default target of a file that is included.
workflow.default_target = workflow.modifier.modify_rulename("all")
>>>>>>> 3388279 (feat: another workflow can import this one as a module, also from a git commit; workflow/Snakefile for the catalog)
