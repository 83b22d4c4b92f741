"""Merge the shards of an extraction into its dataset of scores.

In: the records of an extraction's shards and the files they name, the chunk tables.
Out: the dataset of scores (`tables.scores_schema`), its record.
"""

from evo2_embed.dataset.scores import aggregate_scores
from evo2_embed.dataset.shards import BundleFiles
from evo2_embed.run.job import workflow_job


def main(
    records: list[str], chunks: list[str], shard_counts: list[int], settings: dict, record: str
) -> None:
    aggregate_scores(BundleFiles.group(chunks, shard_counts, records), settings, record)


if "snakemake" in globals():
    with workflow_job(snakemake):
        main(
            list(snakemake.input.records),
            list(snakemake.input.chunks),
            snakemake.params.shard_counts,
            snakemake.params.settings,
            snakemake.output.record,
        )
