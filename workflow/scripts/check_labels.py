"""Check the labels against the windows, before anything is embedded.

In: the labels, the chunk tables, the FASTA files. Out: the number of rows per label, and the folds.
"""

from evo2_embed.analysis.probes.check import check_labels
from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.run.job import workflow_job
from evo2_embed.settings.analyses import Probe


def main(
    genomes: list[list[list]], chunks: list[str], settings: dict, indexes: str, record: str
) -> None:
    bundles = [[Genome(*row) for row in rows] for rows in genomes]
    probe = Probe.from_dict(settings["probe"])
    pooling, code = settings["pooling"], settings["code"]
    skip_first = settings.get("skip_first", 0)
    check_labels(chunks, bundles, probe, pooling, code, indexes, record, skip_first)


if "snakemake" in globals():
    with workflow_job(snakemake):
        main(
            snakemake.params.genomes,
            list(snakemake.input.chunks),
            snakemake.params.settings,
            snakemake.params.indexes,
            snakemake.output.record,
        )
