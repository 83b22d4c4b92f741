"""Write a dataset for scanpy.

In: the record of a dataset, and the part files that it names; the table of genomes.
Out: an AnnData file, its record.
"""

from evo2_embed.export.anndata import write_anndata
from evo2_embed.export.record import export_dataset
from evo2_embed.run.job import workflow_job

if "snakemake" in globals():
    with workflow_job(snakemake):
        export_dataset(
            write_anndata,
            snakemake.input.record,
            snakemake.input.genomes,
            snakemake.params.settings,
            snakemake.output.exported,
            snakemake.output.record,
        )
