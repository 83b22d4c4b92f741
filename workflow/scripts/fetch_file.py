"""Keep a file that Snakemake fetched from its address.

In: the fetched file, which Snakemake deletes after the job. Out: the copy in `results/inputs`.
"""

from evo2_embed.io.remote import keep_copy
from evo2_embed.run.job import workflow_job


def main(fetched: str, path: str) -> None:
    keep_copy(fetched, path)


if "snakemake" in globals():
    with workflow_job(snakemake):
        main(snakemake.input.file, snakemake.output.file)
