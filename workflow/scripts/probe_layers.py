"""Probe the layers of an extraction: how well each predicts the labels.

In: the labels, the records of its layers and the datasets beside them, the FASTA files.
Out: scores by layer, metric and fold; what they say of the layers.
"""

from evo2_embed.analysis.probes.extraction import probe_extraction
from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.io.logs import log, logged_to


def main(
    layers: list[str],
    records: list[str],
    genomes: list[list[list]],
    settings: dict,
    indexes: str,
    table: str,
    record: str,
) -> None:
    bundles = [[Genome(*row) for row in rows] for rows in genomes]
    by_layer = dict(zip(layers, records, strict=True))
    result = probe_extraction(by_layer, bundles, settings, indexes, table, record)
    undecided = ", ".join(result["undecided"])
    log.info("best: %s; %s", result["best"], f"not told from: {undecided}" if undecided else "wins")


if "snakemake" in globals():
    with logged_to(snakemake.log[0]):
        main(
            snakemake.params.layers,
            list(snakemake.input.records),
            snakemake.params.genomes,
            snakemake.params.settings,
            snakemake.params.indexes,
            snakemake.output.table,
            snakemake.output.record,
        )
