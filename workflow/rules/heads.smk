# Heads: a saved probe, a linear head or a sparse autoencoder, applied to every row of a layer.
#
# in:  results/embeddings/{extraction}/{layer}.json, or of a fusion, and the dataset that it names;
#      the file of the head, or results/probes/{extraction}/{source}.safetensors
# out: results/bundles/{extraction}/{bundle}/heads/{head}.json
#      keys: settings, packing, windows, checkpoint_sha256, packages, bundle, shards, model,
#      pooling, precision, engine, workflow, head, digest, datasets (digest, width, dtype, parts,
#      levels of each); written last
#      results/heads/{extraction}/{head}.json
#      keys: settings, packing, windows, checkpoint_sha256, packages, model, pooling, precision,
#      engine, workflow, head, digest, rows, width, dtype, parts (file, rows, bytes, sha256 of
#      each), levels; written last
#      results/heads/{extraction}/{head}/part-00000-{bundle}-00000.parquet and following
#      columns: genome, contig, start, end, strand, name, n_tokens, context, exons
#      with rows of variants also: variant, id, allele
#      of classes also: label, and p_ and the name of each class
#      of one number also: number, of several: numbers
#      of a sparse autoencoder also: features, values

HEAD_MB = 2000  # the libraries, and a row group


def saved_and_applied(wildcards):
    """Saved probes, and the datasets of heads."""
    return [*made_by("save_probe")(wildcards), *made_by("apply_heads")(wildcards)]


def head_of(wildcards):
    """What the configuration says of a head."""
    return EXTRACTIONS[wildcards.extraction].heads[wildcards.head]


def head_layer(wildcards):
    """Record of the dataset that a head reads."""
    return f"results/embeddings/{wildcards.extraction}/{head_of(wildcards).layer}.json"


def head_bundles(wildcards):
    """Records of a bundle, of which one has the dataset that a head reads."""
    layer = head_of(wildcards).layer
    if layer not in EXTRACTIONS[wildcards.extraction].fusion:
        return layer_bundles(wildcards, [layer])
    return [f"results/bundles/{wildcards.extraction}/{wildcards.bundle}/fusions/{layer}.json"]


def head_file(wildcards):
    """The file of a head; without one, the probe of this run."""
    head = head_of(wildcards)
    return head.file or f"results/probes/{wildcards.extraction}/{head.layer}.safetensors"


def head_record(wildcards):
    """Record of a head's dataset. The job keeps part files of its bundle that did not change."""
    return f"results/heads/{wildcards.extraction}/{wildcards.head}.json"


def head_memory(wildcards, attempt):
    """Memory (MB) for a head: its numbers as in the file, in float32, and one copy in between."""
    path = Path(head_file(wildcards))
    size = path.stat().st_size if path.is_file() else 0
    return (HEAD_MB + 5 * size // 1_000_000) * attempt


rule apply_bundle:
    """Apply the head {wildcards.head} to bundle {wildcards.bundle} of {wildcards.extraction}."""
    input:
        layer=head_layer,
        bundles=head_bundles,
        head=head_file,
    output:
        record="results/bundles/{extraction}/{bundle}/heads/{head}.json",
    log:
        "logs/apply_bundle/{extraction}/{bundle}/{head}.log",
    benchmark:
        "benchmarks/apply_bundle/{extraction}/{bundle}/{head}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=head_memory,
    params:
        settings=param_of("apply_bundle"),
        applied=head_record,
    script:
        "../scripts/apply_bundle.py"


rule apply_heads:
    """Join the bundles of the head {wildcards.head} of {wildcards.extraction}."""
    input:
        layer=head_layer,
        bundles=joined("apply_bundle", "results/heads/{extraction}/{head}.json"),
        head=head_file,
    output:
        record="results/heads/{extraction}/{head}.json",
    log:
        "logs/apply_heads/{extraction}/{head}.log",
    benchmark:
        "benchmarks/apply_heads/{extraction}/{head}.tsv"
    localrule: True
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=1000,
    params:
        settings=param_of("apply_heads"),
        names=bundle_names,
    script:
        "../scripts/apply_heads.py"
