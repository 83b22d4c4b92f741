"""Write the part files of a bundle for a head.

In: the record of the dataset that the head reads, the records of the bundle, the head.
Out: part files (`heads.head_schema`), the bundle's record.
"""

from evo2_embed.analysis.heads.writing import apply_bundle
from evo2_embed.run.job import workflow_job

if "snakemake" in globals():
    with workflow_job(snakemake):
        apply_bundle(
            snakemake.input.layer,
            list(snakemake.input.bundles),
            snakemake.params.settings,
            snakemake.input.head,
            snakemake.output.record,
            snakemake.params.applied,
        )
