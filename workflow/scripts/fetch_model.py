"""See that a model's weights are at hand.

In: a local checkpoint, or a name. Out: a record with path and digest.
"""

from evo2_embed.io.logs import logged_to
from evo2_embed.model.weights import fetch_model


def main(model: dict, directory: str, record: str) -> None:
    fetch_model(model["name"], model["checkpoint"], directory, record)


if "snakemake" in globals():
    with logged_to(snakemake.log[0]):
        main(snakemake.params.model, snakemake.params.directory, snakemake.output.record)
