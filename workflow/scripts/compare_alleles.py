"""Compare the alleles of all variants in one layer.

In: the records of an extraction's shards and the files they name, the chunk tables.
Out: the dataset of variants of the layer (`alleles.alleles_schema`), its record.
"""

from evo2_embed.dataset.alleles import compare_alleles
from evo2_embed.dataset.shards import BundleFiles
from evo2_embed.run.job import workflow_job


def main(
    records: list[str],
    chunks: list[str],
    shard_counts: list[int],
    layer: str,
    settings: dict,
    record: str,
) -> None:
    bundles = BundleFiles.group(chunks, shard_counts, records)
    compare_alleles(bundles, layer, settings, record)


if "snakemake" in globals():
    with workflow_job(snakemake):
        main(
            list(snakemake.input.records),
            list(snakemake.input.chunks),
            snakemake.params.shard_counts,
            snakemake.wildcards.layer,
            snakemake.params.settings,
            snakemake.output.record,
        )
