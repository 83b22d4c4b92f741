"""Merge the shards of one layer into its dataset.

In: the records of an extraction's shards and the files they name, the chunk tables.
Out: the dataset of the layer (`tables.embeddings_schema`), its record.
"""

from evo2_embed.dataset.aggregate import aggregate_layer
from evo2_embed.dataset.shards import BundleFiles
from evo2_embed.run.job import workflow_job


def main(
    records: list[str],
    chunks: list[str],
    shard_counts: list[int],
    layer: str,
    settings: dict,
    record: str,
) -> None:
    bundles = BundleFiles.group(chunks, shard_counts, records)
    aggregate_layer(bundles, layer, settings, record)


if "snakemake" in globals():
    with workflow_job(snakemake):
        main(
            list(snakemake.input.records),
            list(snakemake.input.chunks),
            snakemake.params.shard_counts,
            snakemake.wildcards.layer,
            snakemake.params.settings,
            snakemake.output.record,
        )
