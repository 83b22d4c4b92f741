"""Pack windows with shuffled bases, a control for the comparison of layers.

In: chunk tables and FASTA files of a few bundles. Out: a pack file (`tables.PACKS`).
"""

from evo2_embed.analysis.compare.control import pack_shuffled
from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.io.logs import log
from evo2_embed.run.job import workflow_job


def main(
    chunks: list[str],
    genomes: list[list[list]],
    number: int,
    settings: dict,
    indexes: str,
    packs: str,
) -> None:
    bundles = [
        (table, [Genome(*row) for row in rows]) for table, rows in zip(chunks, genomes, strict=True)
    ]
    packed = pack_shuffled(bundles, number, settings, indexes, packs)
    log.info("%d windows shuffled, %d tokens", packed.n_chunks, packed.n_tokens)


if "snakemake" in globals():
    with workflow_job(snakemake):
        main(
            list(snakemake.input.chunks),
            snakemake.params.genomes,
            snakemake.params.number,
            snakemake.params.settings,
            snakemake.params.indexes,
            snakemake.output.packs,
        )
