"""Merge the shards of a bundle into its part files of scores.

In: the records of the bundle's shards and the files they name, its chunk table.
Out: part files (`tables.scores_schema`), the bundle's record.
"""

from evo2_embed.dataset.scores import score_bundle
from evo2_embed.dataset.shards import BundleFiles
from evo2_embed.run.job import workflow_job


def main(
    records: list[str], chunks: str, genomes: list[list], n_shards: int, settings: dict, record: str
) -> None:
    (files,) = BundleFiles.group([chunks], [n_shards], records)
    score_bundle(files, settings, record, genomes)


if "snakemake" in globals():
    with workflow_job(snakemake):
        main(
            list(snakemake.input.records),
            snakemake.input.chunks,
            snakemake.params.genomes,
            snakemake.params.n_shards,
            snakemake.params.settings,
            snakemake.output.record,
        )
