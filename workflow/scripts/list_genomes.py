"""List the genomes of a run, with their counts, and those that are left out.

In: the chunk tables, and the frozen run. Out: genomes.parquet (`tables.GENOMES`), skipped.tsv.
"""

from evo2_embed.dataset.genomes import write_genomes
from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.run.frozen import RUN_CONFIG, load_frozen
from evo2_embed.run.job import workflow_job


def main(
    chunks: list[str], genomes: list[Genome], settings: dict, table: str, skipped: str
) -> None:
    write_genomes(chunks, genomes, settings, table, skipped)


if "snakemake" in globals():
    with workflow_job(snakemake):
        main(
            list(snakemake.input.chunks),
            load_frozen(RUN_CONFIG).all_genomes,
            snakemake.params.settings,
            snakemake.output.table,
            snakemake.output.skipped,
        )
