"""Pack the chunks of one shard.

In: the bundle's chunk table, its FASTA files. Out: a pack file (`tables.PACKS`).
"""

from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.io.logs import log
from evo2_embed.pack.pack_shard import pack_shard
from evo2_embed.run.job import workflow_job


def main(
    genomes: list[list],
    chunks: str,
    shard: int,
    n_shards: int,
    settings: dict,
    indexes: str,
    packs: str,
) -> None:
    rows = [Genome(*row) for row in genomes]
    packed = pack_shard(rows, chunks, shard, n_shards, settings, indexes, packs)
    if not packed.n_packs:
        log.info("no windows in this shard: there are fewer stretches than shards")
        return
    log.info(
        "%d windows, %d tokens in %d packs (%.1f %% full); padding would add %.1f %% tokens",
        packed.n_chunks,
        packed.n_tokens,
        packed.n_packs,
        100 * packed.n_tokens / packed.budget_tokens,
        100 * (packed.padded_tokens / packed.n_tokens - 1),
    )


if "snakemake" in globals():
    with workflow_job(snakemake):
        main(
            snakemake.params.genomes,
            snakemake.input.chunks,
            int(snakemake.wildcards.shard),
            snakemake.params.n_shards,
            snakemake.params.settings,
            snakemake.params.indexes,
            snakemake.output.packs,
        )
