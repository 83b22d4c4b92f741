"""Write a dataset for LanceDB.

In: the record of a dataset, and the part files that it names; the table of genomes.
Out: a folder with a table, its record.
"""

from evo2_embed.export.lance import write_lance
from evo2_embed.export.record import export_dataset
from evo2_embed.run.job import workflow_job

if "snakemake" in globals():
    with workflow_job(snakemake):
        export_dataset(
            write_lance,
            snakemake.input.record,
            snakemake.input.genomes,
            snakemake.params.settings,
            snakemake.output.exported,
            snakemake.output.record,
        )
