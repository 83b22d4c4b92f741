"""Compare the layers of an extraction without labels.

In: the records of its layers, the record of the embeddings of shuffled windows if there is one.
Out: a JSON file, see `compare.layers.compare_layers`.
"""

from evo2_embed.analysis.compare.layers import compare_layers
from evo2_embed.io.logs import logged_to


def main(
    layers: list[str], records: list[str], control: str | None, settings: dict, output: str
) -> None:
    compare_layers(dict(zip(layers, records, strict=True)), control, settings, output)


if "snakemake" in globals():
    with logged_to(snakemake.log[0]):
        main(
            snakemake.params.layers,
            list(snakemake.input.records),
            snakemake.input.get("control"),
            snakemake.params.settings,
            snakemake.output.comparison,
        )
