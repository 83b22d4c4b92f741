"""Write the part files of a bundle for a fusion.

In: the records of its layers and their datasets, the records of the bundle, the parameters.
Out: part files (`tables.embeddings_schema`), the bundle's record.
"""

from evo2_embed.analysis.fusion.writing import fuse_bundle
from evo2_embed.run.job import workflow_job

if "snakemake" in globals():
    with workflow_job(snakemake):
        fuse_bundle(
            list(snakemake.input.records),
            list(snakemake.input.bundles),
            snakemake.params.settings,
            snakemake.input.parameters,
            snakemake.output.record,
            snakemake.params.fused,
        )
