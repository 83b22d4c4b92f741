# Datasets as files for other programs, if the configuration names them in `export`.
#
# in:  results/embeddings/{extraction}/{dataset}.json of a layer or a fusion, and the dataset that it
#      names; results/genomes.parquet
# out: results/export/anndata/{extraction}/{dataset}.h5ad
#      X: the vectors; obs: row, genome, contig, start, end, strand, name, n_tokens, context, exons, and
#      the further columns of the sheet
#      results/export/anndata/{extraction}/{dataset}.json
#      keys: workflow, settings, dataset, rows, exported (file, bytes, sha256 of each)
#      results/export/atlas/{extraction}/{dataset}.parquet
#      columns: text, row, genome, contig, start, end, strand, name, n_tokens, context, exons, x,
#      y, neighbors (ids, distances); before x, the further columns of the sheet
#      results/export/atlas/{extraction}/{dataset}.json
#      keys: workflow, settings, dataset, rows, exported (file, bytes, sha256 of each)
#      results/export/lance/{extraction}/{dataset}.lance
#      columns: row, genome, contig, start, end, strand, name, n_tokens, context, exons, embedding;
#      before embedding, the further columns of the sheet
#      results/export/lance/{extraction}/{dataset}.json
#      keys: workflow, settings, dataset, rows, exported (file, bytes, sha256 of each)

from evo2_embed.model.registry import layer_widths
from evo2_embed.settings.exports import FORMATS


def exported(wildcards):
    """All files of exports."""
    names = (*FORMATS, "bigwig")
    return [path for name in names for path in made_by(f"export_{name}")(wildcards)]


def atlas_memory(wildcards):
    """Memory (MB) for a few copies of the rows to draw, and for the cosines of a block of them."""
    extraction = EXTRACTIONS[wildcards.extraction]
    widths = layer_widths(extraction.model.name)
    fused = wildcards.dataset in extraction.fusion
    width = sum(widths.values()) if fused else widths[wildcards.dataset]
    return 2000 + SETTINGS.atlas.rows * (width * 4 * 4 + 1024 * 4 * 3) // 1_000_000


rule export_anndata:
    """Write {wildcards.dataset} of {wildcards.extraction} for scanpy."""
    input:
        record="results/embeddings/{extraction}/{dataset}.json",
        genomes="results/genomes.parquet",
    output:
        record="results/export/anndata/{extraction}/{dataset}.json",
        exported="results/export/anndata/{extraction}/{dataset}.h5ad",
    log:
        "logs/export_anndata/{extraction}/{dataset}.log",
    benchmark:
        "benchmarks/export_anndata/{extraction}/{dataset}.tsv"
    conda:
        "../../envs/export.yaml"
    resources:
        mem_mb=2000,
    params:
        settings=param_of("export_anndata"),
    script:
        "../scripts/export_anndata.py"


rule export_atlas:
    """Write {wildcards.dataset} of {wildcards.extraction} for embedding-atlas."""
    input:
        record="results/embeddings/{extraction}/{dataset}.json",
        genomes="results/genomes.parquet",
    output:
        record="results/export/atlas/{extraction}/{dataset}.json",
        exported="results/export/atlas/{extraction}/{dataset}.parquet",
    log:
        "logs/export_atlas/{extraction}/{dataset}.log",
    benchmark:
        "benchmarks/export_atlas/{extraction}/{dataset}.tsv"
    conda:
        "../../envs/cpu.yaml"
    resources:
        mem_mb=atlas_memory,
    params:
        settings=param_of("export_atlas"),
    script:
        "../scripts/export_atlas.py"


rule export_lance:
    """Write {wildcards.dataset} of {wildcards.extraction} for LanceDB."""
    input:
        record="results/embeddings/{extraction}/{dataset}.json",
        genomes="results/genomes.parquet",
    output:
        record="results/export/lance/{extraction}/{dataset}.json",
        exported=directory("results/export/lance/{extraction}/{dataset}.lance"),
    log:
        "logs/export_lance/{extraction}/{dataset}.log",
    benchmark:
        "benchmarks/export_lance/{extraction}/{dataset}.tsv"
    conda:
        "../../envs/export.yaml"
    resources:
        mem_mb=6000,  # of the index: 2 GB were measured with 2,048 dimensions
    params:
        settings=param_of("export_lance"),
    script:
        "../scripts/export_lance.py"
