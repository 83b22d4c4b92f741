# The report, and the summary that a terminal shows.
#
# in:  results/embeddings/{extraction}/manifest.json and the datasets that they name,
#      results/shards/{extraction}/{bundle}/{shard}/speed.json and shard.json,
#      results/chunks/{bundle}.parquet, and where there are such:
#      results/comparisons/{extraction}.json, results/burn_in/{extraction}.json,
#      results/probes/{extraction}.json and .parquet, results/finetune/summary.json
# out: results/report.html, results/summary.txt


rule write_report:
    """Show what was embedded, how fast, and what the embeddings look like."""
    input:
        manifests=MANIFESTS,
        speeds=all_speeds,
        comparisons=COMPARISONS,
        burn_in=BURN_INS,
        probes=PROBES,
        finetune=FINETUNE,
        chunks=chunk_tables,
    output:
        report=report("results/report.html", caption="../report/page.rst", category="Run"),
        summary=report("results/summary.txt", caption="../report/summary.rst", category="Run"),
    log:
        "logs/write_report.log",
    benchmark:
        "benchmarks/write_report.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=4000,
    params:
        settings=REPORT_SETTINGS,
        probe=SETTINGS.probe and SETTINGS.probe.to_dict(),
        genomes=GENOMES,
        stages=STAGES,
    script:
        "../scripts/write_report.py"
