"""Cut the genomes of a bundle into windows.

In: FASTA files, files of regions. Out: the bundle's chunk table (`tables.CHUNKS`).
"""

from evo2_embed.chunk.chunk_table import chunk_bundle
from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.run.job import workflow_job


def main(genomes: list[list], settings: dict, indexes: str, chunks: str, threads: int = 1) -> None:
    rows = [Genome(*row) for row in genomes]
    windows, code, regions = settings["windows"], settings["code"], settings.get("regions")
    chunk_bundle(rows, windows, indexes, chunks, code, threads, regions)


if "snakemake" in globals():
    with workflow_job(snakemake):
        main(
            snakemake.params.genomes,
            snakemake.params.settings,
            snakemake.params.indexes,
            snakemake.output.chunks,
            snakemake.threads,
        )
