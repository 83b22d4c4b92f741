"""Compare the layers of an extraction without labels.

In: the records of its layers, and of the embeddings of shuffled windows if there are any.
Out: a JSON file, see `compare.layers.compare_layers`.
"""

from evo2_embed.analysis.compare.layers import compare_layers
from evo2_embed.run.job import workflow_job


def main(
    layers: list[str], records: list[str], control: str | None, settings: dict, output: str
) -> None:
    by_layer = dict(zip(layers, records, strict=True))
    compare_layers(by_layer, control, settings["rows"], settings["code"], output)


if "snakemake" in globals():
    with workflow_job(snakemake):
        main(
            snakemake.params.layers,
            list(snakemake.input.records),
            snakemake.input.get("control"),
            snakemake.params.settings,
            snakemake.output.comparison,
        )
