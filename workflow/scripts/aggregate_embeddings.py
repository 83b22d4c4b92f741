"""Join the bundles of an extraction to the dataset of a layer.

In: the records of the bundles and the part files they name.
Out: the dataset of the layer (`tables.embeddings_schema`), its levels, its record.
"""

from evo2_embed.dataset.aggregate import join_layer
from evo2_embed.run.job import workflow_job

if "snakemake" in globals():
    with workflow_job(snakemake):
        join_layer(
            list(snakemake.input.records),
            snakemake.wildcards.layer,
            snakemake.params.settings,
            snakemake.output.record,
        )
