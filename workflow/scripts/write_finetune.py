"""Assemble the training set.

In: the records of all shards and the files they name, the chunk tables, the table of blocks.
Out: the folder with both forms, its card and its summary.
"""

from pathlib import Path

from evo2_embed.dataset.shards import BundleFiles
from evo2_embed.finetune.dataset import write_dataset
from evo2_embed.run.job import workflow_job


def main(
    records: list[str],
    chunks: list[str],
    shard_counts: list[int],
    blocks: str,
    settings: dict,
    summary: str,
) -> None:
    bundles = BundleFiles.group(chunks, shard_counts, records)
    write_dataset(bundles, blocks, settings, str(Path(summary).parent))


if "snakemake" in globals():
    with workflow_job(snakemake):
        main(
            list(snakemake.input.records),
            list(snakemake.input.chunks),
            snakemake.params.shard_counts,
            snakemake.input.blocks,
            snakemake.params.settings,
            snakemake.output.summary,
        )
