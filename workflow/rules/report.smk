# The report, and the summary for the terminal.
#
# in:  results/embeddings/{extraction}/manifest.json and the datasets that they name, also those in
#      results/variants/,
#      results/bundles/{extraction}/{bundle}/shards/{layers}.json,
#      results/chunks/{bundle}.parquet, and if the configuration asks for them:
#      results/comparisons/{extraction}.json, results/burn_in/{extraction}.json,
#      results/probes/{extraction}.json and .parquet, results/finetune/summary.json
# out: results/report.html, results/summary.txt, and for MultiQC
#      results/multiqc/evo2_embed_genomes_mqc.json
#      keys: id, plot_type, pconfig, data; one row per genome
#      results/multiqc/evo2_embed_layers_mqc.json
#      keys: id, section_name, description, plot_type, pconfig, headers, data


rule write_report:
    """Show what was embedded, how fast, and what the embeddings look like."""
    input:
        manifests=made_by("write_manifest"),
        shards=made_by("aggregate_bundle", "shards"),
        comparisons=made_by("compare_layers"),
        burn_in=made_by("measure_burn_in"),
        probes=made_by("probe_layers"),
        finetune=made_by("write_finetune", "summary"),
        chunks=made_by("chunk_fasta"),
    output:
        report=report("results/report.html", caption="../report/page.rst", category="Run"),
        summary=report("results/summary.txt", caption="../report/summary.rst", category="Run"),
        genomes="results/multiqc/evo2_embed_genomes_mqc.json",
        layers="results/multiqc/evo2_embed_layers_mqc.json",
    log:
        "logs/write_report.log",
    benchmark:
        "benchmarks/write_report.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=4000,
    params:
        settings=param_of("write_report"),
        probe=SETTINGS.probe and SETTINGS.probe.to_dict(),
        genomes=GENOMES,
    script:
        "../scripts/write_report.py"
