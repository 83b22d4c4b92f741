"""Cut the genomes of a bundle into windows.

In: FASTA files, files of regions or variants. Out: the bundle's chunk table (`tables.CHUNKS`).
"""

from evo2_embed.chunk.chunk_table import chunk_bundle
from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.run.frozen import RUN_CONFIG, frozen_settings
from evo2_embed.run.job import workflow_job


def main(
    genomes: list[list],
    settings: dict,
    indexes: str,
    chunks: str,
    threads: int = 1,
    on_bad_genome: str = "stop",
) -> None:
    rows = [Genome(*row) for row in genomes]
    windows, code = settings["windows"], settings["code"]
    others = {name: settings[name] for name in ("regions", "variants") if name in settings}
    others["on_bad_genome"] = on_bad_genome
    chunk_bundle(rows, windows, indexes, chunks, code, threads, **others)


if "snakemake" in globals():
    with workflow_job(snakemake):
        main(
            snakemake.params.genomes,
            snakemake.params.settings,
            snakemake.params.indexes,
            snakemake.output.chunks,
            snakemake.threads,
            # Not a parameter of the rule: the table does not depend on it.
            frozen_settings(RUN_CONFIG).on_bad_genome,
        )
