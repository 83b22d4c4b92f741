"""Write a fused dataset.

In: the records of its layers and the datasets they name, the parameters.
Out: the dataset (`tables.embeddings_schema`), its record.
"""

from evo2_embed.analysis.fusion.writing import fuse_layers
from evo2_embed.io.logs import logged_to


def main(records: list[str], name: str, settings: dict, parameters: str, record: str) -> None:
    fuse_layers(records, name, settings, parameters, record)


if "snakemake" in globals():
    with logged_to(snakemake.log[0]):
        main(
            list(snakemake.input.records),
            snakemake.wildcards.fusion,
            snakemake.params.settings,
            snakemake.input.parameters,
            snakemake.output.record,
        )
