"""Merge the shards of a bundle into its part files of some layers.

In: the records of the bundle's shards and the files they name, its chunk table.
Out: part files (`tables.embeddings_schema`), tables of levels, the bundle's record, the counts and
speeds of its shards.
"""

from evo2_embed.dataset.aggregate import aggregate_bundle
from evo2_embed.dataset.shards import BundleFiles
from evo2_embed.run.job import workflow_job


def main(
    records: list[str],
    chunks: str,
    genomes: list[list],
    n_shards: int,
    layers: list[str],
    settings: dict,
    record: str,
    shards: str,
) -> None:
    (files,) = BundleFiles.group([chunks], [n_shards], records)
    aggregate_bundle(files, layers, settings, record, genomes, shards)


if "snakemake" in globals():
    with workflow_job(snakemake):
        main(
            list(snakemake.input.records),
            snakemake.input.chunks,
            snakemake.params.genomes,
            snakemake.params.n_shards,
            snakemake.params.layers,
            snakemake.params.settings,
            snakemake.output.record,
            snakemake.output.shards,
        )
