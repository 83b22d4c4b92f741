"""Join the bundles of a fusion to its dataset.

In: the records of its layers and of its bundles, the part files that these name, the parameters.
Out: the dataset (`tables.embeddings_schema`), its record.
"""

from evo2_embed.analysis.fusion.writing import fuse_layers
from evo2_embed.run.job import workflow_job

if "snakemake" in globals():
    with workflow_job(snakemake):
        fuse_layers(
            list(snakemake.input.records),
            list(snakemake.input.bundles),
            snakemake.params.settings,
            snakemake.input.parameters,
            snakemake.output.record,
        )
