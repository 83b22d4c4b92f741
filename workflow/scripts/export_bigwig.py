"""Write the tracks of a head, or of the scores, for genome browsers.

In: the record of the dataset, the FASTA files. Out: bigWig and BED files, their record.
"""

from evo2_embed.export.tracks import write_tracks
from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.run.job import workflow_job


def main(record: str, bundles: list[list], settings: dict, indexes: str, output: str) -> None:
    named = [(name, [Genome(*row) for row in rows]) for name, rows in bundles]
    write_tracks(record, named, settings, indexes, output)


if "snakemake" in globals():
    with workflow_job(snakemake):
        main(
            snakemake.input.record,
            snakemake.params.bundles,
            snakemake.params.settings,
            snakemake.params.indexes,
            snakemake.output.record,
        )
