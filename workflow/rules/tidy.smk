# Pack files and shards of finished bundles, deleted during the run: `keep: datasets`.
#
# in:  results/bundles/{extraction}/{bundle}/{layers}.json, scores.json and variants/{layers}.json,
#      results/export/{bundle}/{shard}/export.json
# out: results/tidied/{bundle}.json
#      keys: files, bytes
#      and results/packs/{bundle}/ and results/shards/{extraction}/{bundle}/ are deleted


rule tidy_bundle:
    """Delete the pack files and shards of bundle {wildcards.bundle}, which is finished."""
    input:
        bundles=made_by("aggregate_bundle", "record"),
        scores=made_by("score_bundle"),
        variants=made_by("compare_bundle"),
        export=made_by("export_packs"),
    output:
        record="results/tidied/{bundle}.json",
    log:
        "logs/tidy_bundle/{bundle}.log",
    benchmark:
        "benchmarks/tidy_bundle/{bundle}.tsv"
    priority: 40
    localrule: True
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=500,
    script:
        "../scripts/tidy_bundle.py"
