"""Join the bundles of an extraction to its dataset of scores.

In: the records of the bundles and the part files they name.
Out: the dataset of scores (`tables.scores_schema`), its record.
"""

from evo2_embed.dataset.scores import join_scores
from evo2_embed.run.job import workflow_job

if "snakemake" in globals():
    with workflow_job(snakemake):
        join_scores(
            list(snakemake.input.records), snakemake.params.settings, snakemake.output.record
        )
