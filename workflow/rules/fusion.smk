# Layers, or strands, of an extraction, fused into one dataset.
#
# in:  results/embeddings/{extraction}/{layer}.json and the datasets that they name;
#      parameters of another run, or labels, if the configuration asks for them
# out: results/fusions/{extraction}/{fusion}.npz
#      arrays: means, deviations, weights, components, explained, as far as the method has them;
#      fusion, a JSON string with method, layers, widths, digest
#      results/bundles/{extraction}/{bundle}/fusions/{fusion}.json
#      keys: settings, packing, windows, checkpoint_sha256, packages, bundle, shards, model,
#      pooling, precision, engine, workflow, parameters, digest, datasets (digest, width, dtype,
#      parts, levels of each); written last
#      results/embeddings/{extraction}/{fusion}.json
#      keys: settings, packing, windows, checkpoint_sha256, packages, model, pooling, precision,
#      engine, workflow, fusion, layers, digest, rows, width, dtype, parts (file, rows, bytes,
#      sha256 of each), levels; written last
#      results/embeddings/{extraction}/{fusion}/part-00000-{bundle}-00000.parquet and following
#      columns: genome, contig, start, end, strand, name, n_tokens, context, exons, embedding
#      with rows of variants also, after exons: variant, id, allele

from evo2_embed.model.registry import layer_widths


def fusion_of(wildcards):
    """What the configuration says of a fusion."""
    return EXTRACTIONS[wildcards.extraction].fusion[wildcards.fusion]


def fusion_layers(wildcards):
    """Records of the layers that a fusion joins."""
    layers = fusion_of(wildcards).layers
    return [f"results/embeddings/{wildcards.extraction}/{layer}.json" for layer in layers]


def fusion_bundles(wildcards):
    """Records of a bundle with the layers that a fusion joins."""
    return layer_bundles(wildcards, fusion_of(wildcards).layers)


def fused_record(wildcards):
    """Record of a fused dataset. The job keeps part files of its bundle that did not change."""
    return f"results/embeddings/{wildcards.extraction}/{wildcards.fusion}.json"


def fusion_parameters(wildcards):
    """The file of parameters, if the fusion takes one."""
    given = fusion_of(wildcards).parameters
    return [] if given is None else [given]


def fusion_labels(wildcards):
    """The labels, if the fusion learns its weights."""
    return [SETTINGS.probe.labels] if fusion_of(wildcards).weights == "probe" else []


def fit_memory(wildcards, attempt):
    """Memory (MB) for a sample of 5,000 rows of all layers, four times; labels need all keys."""
    widths = layer_widths(EXTRACTIONS[wildcards.extraction].model.name)
    numbers = 5000 * sum(widths[layer] for layer in fusion_of(wildcards).layers)
    base = 2000 if fusion_of(wildcards).weights == "probe" else 1000
    return (base + numbers * 4 * 4 // 1_000_000) * attempt


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
        settings=param_of("fit_fusion"),
    script:
        "../scripts/fit_fusion.py"


rule fuse_bundle:
    """Write bundle {wildcards.bundle} of the fusion {wildcards.fusion} of {wildcards.extraction}."""
    input:
        records=fusion_layers,
        bundles=fusion_bundles,
        parameters="results/fusions/{extraction}/{fusion}.npz",
    output:
        record="results/bundles/{extraction}/{bundle}/fusions/{fusion}.json",
    log:
        "logs/fuse_bundle/{extraction}/{bundle}/{fusion}.log",
    benchmark:
        "benchmarks/fuse_bundle/{extraction}/{bundle}/{fusion}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=2000,
    params:
        settings=param_of("fuse_bundle"),
        fused=fused_record,
    script:
        "../scripts/fuse_bundle.py"


rule fuse_layers:
    """Join the bundles of the fusion {wildcards.fusion} of {wildcards.extraction}."""
    input:
        records=fusion_layers,
        bundles=joined("fuse_bundle", "results/embeddings/{extraction}/{fusion}.json"),
        parameters="results/fusions/{extraction}/{fusion}.npz",
    output:
        record="results/embeddings/{extraction}/{fusion}.json",
    log:
        "logs/fuse_layers/{extraction}/{fusion}.log",
    benchmark:
        "benchmarks/fuse_layers/{extraction}/{fusion}.tsv"
    localrule: True
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=1000,
    params:
        settings=param_of("fuse_layers"),
        names=bundle_names,
    script:
        "../scripts/fuse_layers.py"
