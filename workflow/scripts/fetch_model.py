"""Fetch or check the weights of a model.

In: a local checkpoint, or the name of a model. Out: a record with path and digest.
"""

from evo2_embed.io.logs import logged_to
from evo2_embed.model.weights import fetch_model


def main(model: dict, directory: str, record: str) -> None:
    fetch_model(model["name"], model["checkpoint"], directory, record)


if "snakemake" in globals():
    with logged_to(snakemake.log[0]):
        main(snakemake.params.model, snakemake.params.directory, snakemake.output.record)
