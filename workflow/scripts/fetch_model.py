"""Fetch or check the weights of a model.

In: a local checkpoint, or the name of a model. Out: a record with the digest.
"""

from evo2_embed.model.weights import fetch_model
from evo2_embed.run.job import workflow_job
from evo2_embed.settings.extraction import Model


def main(model: dict, directory: str, record: str) -> None:
    fetch_model(Model.from_dict(model), directory, record)


if "snakemake" in globals():
    with workflow_job(snakemake):
        main(snakemake.params.model, snakemake.params.directory, snakemake.output.record)
