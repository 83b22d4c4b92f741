# Layers, or strands, of an extraction joined into one dataset.
#
# in:  results/embeddings/{extraction}/{layer}.json and the datasets that they name;
#      parameters of another run, or labels, where the configuration asks for them
# out: results/fusions/{extraction}/{fusion}.npz
#      arrays: means, deviations, weights, components, explained, as far as the method has them;
#      fusion, a JSON string with method, layers, widths
#      results/embeddings/{extraction}/{fusion}.json
#      keys: those of a layer's record, but for layer and self_check; fusion, layers; written last
#      results/embeddings/{extraction}/{fusion}/part-00000.parquet and on
#      columns: genome, contig, start, end, strand, name, n_tokens, context, embedding


rule fit_fusion:
    """Fit the parameters of fusion {wildcards.fusion}: {params.settings[method]}."""
    input:
        records=fusion_layers,
        parameters=fusion_parameters,
        labels=fusion_labels,
    output:
        parameters="results/fusions/{extraction}/{fusion}.npz",
    log:
        "logs/fit_fusion/{extraction}/{fusion}.log",
    benchmark:
        "benchmarks/fit_fusion/{extraction}/{fusion}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=fit_memory,
    params:
        settings=fit_settings,
    script:
        "../scripts/fit_fusion.py"


rule fuse_layers:
    """Write the fused dataset {wildcards.fusion} of {wildcards.extraction}."""
    input:
        records=fusion_layers,
        parameters="results/fusions/{extraction}/{fusion}.npz",
    output:
        record="results/embeddings/{extraction}/{fusion}.json",
    log:
        "logs/fuse_layers/{extraction}/{fusion}.log",
    benchmark:
        "benchmarks/fuse_layers/{extraction}/{fusion}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=2000,
    params:
        settings=fuse_settings,
    script:
        "../scripts/fuse_layers.py"
