"""Write down what an extraction's datasets are and were made from.

In: the records of its layers, the chunk tables. Out: manifest.json.
"""

from evo2_embed.logs import logged_to
from evo2_embed.manifest import write_manifest


def main(layers: list[str], records: list[str], chunks: list[str], manifest: str) -> None:
    write_manifest(chunks, dict(zip(layers, records, strict=True)), manifest)


if "snakemake" in globals():
    with logged_to(snakemake.log[0]):
        main(
            snakemake.params.layers,
            list(snakemake.input.records),
            list(snakemake.input.chunks),
            snakemake.output.manifest,
        )
