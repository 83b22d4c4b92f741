"""Write a dataset for embedding-atlas.

In: the record of a dataset, and the part files that it names; the table of genomes.
Out: a Parquet file, its record.
"""

from functools import partial

from evo2_embed.export.atlas import write_atlas
from evo2_embed.export.record import export_dataset
from evo2_embed.run.job import workflow_job

if "snakemake" in globals():
    with workflow_job(snakemake):
        export_dataset(
            partial(write_atlas, most=snakemake.params.settings["rows"]),
            snakemake.input.record,
            snakemake.input.genomes,
            snakemake.params.settings,
            snakemake.output.exported,
            snakemake.output.record,
        )
