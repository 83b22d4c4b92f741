"""Describe the datasets of an extraction, their settings and inputs.

In: the records of its layers, fusions, scores, variants and heads, the chunk tables, the
table of genomes that are left out. Out: manifest.json.
"""

from pathlib import Path

from evo2_embed.dataset.manifest import write_manifest
from evo2_embed.run.job import workflow_job


def main(
    layers: list[str],
    records: list[str],
    fusions: list[str],
    fused: list[str],
    scores: list[str],
    variants: list[str],
    heads: list[str],
    chunks: list[str],
    genomes: str,
    skipped: str,
    manifest: str,
) -> None:
    by_layer, by_fusion = dict(zip(layers, records, strict=True)), zip(fusions, fused, strict=True)
    compared = {Path(record).stem: record for record in variants}
    applied = {Path(record).stem: record for record in heads}
    scored = next(iter(scores), None)
    write_manifest(
        *(chunks, by_layer, dict(by_fusion), scored, compared, applied),
        *(genomes, skipped, manifest),
    )


if "snakemake" in globals():
    with workflow_job(snakemake):
        main(
            snakemake.params.layers,
            list(snakemake.input.records),
            snakemake.params.fusions,
            list(snakemake.input.fused),
            list(snakemake.input.scores),
            list(snakemake.input.variants),
            list(snakemake.input.heads),
            list(snakemake.input.chunks),
            snakemake.input.genomes,
            snakemake.input.skipped,
            snakemake.output.manifest,
        )
