"""Pack the stretches on which the burn-in is measured.

In: the chunk table and FASTA files of a bundle. Out: a pack file (`tables.PACKS`).
"""

from evo2_embed.analysis.burn_in.packs import pack_burn_in
from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.io.logs import log
from evo2_embed.run.job import workflow_job


def main(
    chunks: str, genomes: list[list], target: dict, settings: dict, indexes: str, packs: str
) -> None:
    bundle = [Genome(*row) for row in genomes]
    found = pack_burn_in(bundle, chunks, target, settings, indexes, packs)
    log.info("%s", found["reason"] or found["place"])


if "snakemake" in globals():
    with workflow_job(snakemake):
        main(
            snakemake.input.chunks,
            snakemake.params.genomes,
            snakemake.params.target,
            snakemake.params.settings,
            snakemake.params.indexes,
            snakemake.output.packs,
        )
