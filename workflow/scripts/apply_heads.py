"""Join the bundles of a head to its dataset.

In: the record of the dataset that the head reads, the records of its bundles, the part files that
these name, the head. Out: the dataset (`heads.head_schema`), its record.
"""

from evo2_embed.analysis.heads.writing import apply_heads
from evo2_embed.run.job import workflow_job

if "snakemake" in globals():
    with workflow_job(snakemake):
        apply_heads(
            snakemake.input.layer,
            list(snakemake.input.bundles),
            snakemake.params.settings,
            snakemake.input.head,
            snakemake.output.record,
        )
