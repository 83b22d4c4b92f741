"""Join the bundles of an extraction to the dataset of variants of a layer.

In: the records of the bundles and the part files they name.
Out: the dataset of variants of the layer (`alleles.alleles_schema`), its record.
"""

from evo2_embed.dataset.alleles import join_alleles
from evo2_embed.run.job import workflow_job

if "snakemake" in globals():
    with workflow_job(snakemake):
        join_alleles(
            list(snakemake.input.records),
            snakemake.wildcards.layer,
            snakemake.params.settings,
            snakemake.output.record,
        )
