"""Pack the chunks of one shard.

In: the bundle's chunk table, its FASTA files. Out: a pack file (`tables.PACKS`).
"""

from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.io.logs import log, logged_to
from evo2_embed.pack.pack_shard import pack_shard


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
    result = pack_shard(rows, chunks, shard, n_shards, settings, indexes, packs)
    if not result["n_packs"]:
        log.info("no chunks in this shard: there are fewer chunks than shards")
        return
    log.info(
        "%d chunks, %d tokens in %d packs: %.1f %% of their room; padding to the longest would "
        "have added %.1f %%",
        result["n_chunks"],
        result["n_tokens"],
        result["n_packs"],
        100 * result["n_tokens"] / result["budget_tokens"],
        100 * (result["padded_tokens"] / result["n_tokens"] - 1),
    )


if "snakemake" in globals():
    with logged_to(snakemake.log[0]):
        main(
            snakemake.params.genomes,
            snakemake.input.chunks,
            int(snakemake.wildcards.shard),
            snakemake.params.n_shards,
            snakemake.params.settings,
            snakemake.params.indexes,
            snakemake.output.packs,
        )
