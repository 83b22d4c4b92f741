"""Write the chunks of one shard as rows of a training set.

In: its pack file, the table of blocks. Out: one file per form and split, and their record.
"""

from pathlib import Path

from evo2_embed.finetune.export import export_shard
from evo2_embed.run.job import workflow_job


def main(packs: str, blocks: str, settings: dict, record: str) -> None:
    export_shard(packs, blocks, settings, str(Path(record).parent))


if "snakemake" in globals():
    with workflow_job(snakemake):
        main(
            snakemake.input.packs,
            snakemake.input.blocks,
            snakemake.params.settings,
            snakemake.output.record,
        )
