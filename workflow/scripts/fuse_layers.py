"""Write a fused dataset.

In: the records of its layers and their datasets, the parameters.
Out: the dataset (`tables.embeddings_schema`), its record.
"""

from evo2_embed.analysis.fusion.writing import fuse_layers
from evo2_embed.run.job import workflow_job
from evo2_embed.settings.sections import Fusion


def main(records: list[str], name: str, settings: dict, parameters: str, record: str) -> None:
    fusion = Fusion(method=settings["method"], strands=settings["strands"])
    fuse_layers(records, name, fusion, settings["code"], parameters, record)


if "snakemake" in globals():
    with workflow_job(snakemake):
        main(
            list(snakemake.input.records),
            snakemake.wildcards.fusion,
            snakemake.params.settings,
            snakemake.input.parameters,
            snakemake.output.record,
        )
