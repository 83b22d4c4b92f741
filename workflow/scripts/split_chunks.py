"""Choose the blocks of the genomes for validation.

In: the chunk tables. Out: the table of blocks (`split.BLOCKS`).
"""

from evo2_embed.finetune.split import split_chunks
from evo2_embed.io.logs import log
from evo2_embed.run.job import workflow_job


def main(chunks: list[str], settings: dict, blocks: str) -> None:
    log.info("chunks: %s", split_chunks(chunks, settings, blocks)["parts"])


if "snakemake" in globals():
    with workflow_job(snakemake):
        main(list(snakemake.input.chunks), snakemake.params.settings, snakemake.output.blocks)
