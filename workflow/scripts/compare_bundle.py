"""Compare the alleles of the variants of a bundle, in some layers.

In: the records of the bundle's shards and the files they name, its chunk table.
Out: part files of the datasets of variants (`alleles.alleles_schema`), the bundle's record.
"""

from evo2_embed.dataset.alleles import compare_bundle
from evo2_embed.dataset.shards import BundleFiles
from evo2_embed.run.job import workflow_job


def main(
    records: list[str],
    chunks: str,
    genomes: list[list],
    n_shards: int,
    layers: list[str],
    settings: dict,
    record: str,
) -> None:
    (files,) = BundleFiles.group([chunks], [n_shards], records)
    compare_bundle(files, layers, settings, record, genomes)


if "snakemake" in globals():
    with workflow_job(snakemake):
        main(
            list(snakemake.input.records),
            snakemake.input.chunks,
            snakemake.params.genomes,
            snakemake.params.n_shards,
            snakemake.params.layers,
            snakemake.params.settings,
            snakemake.output.record,
        )
