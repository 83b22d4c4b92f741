"""Probe the layers of an extraction: how well each predicts the labels.

In: the labels, the records of its layers and their datasets, the FASTA files.
Out: scores by layer, metric and fold; the record, with the best layer.
"""

from evo2_embed.analysis.probes.extraction import probe_extraction
from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.io.logs import log
from evo2_embed.run.job import workflow_job
from evo2_embed.settings.analyses import Probe
from evo2_embed.settings.extraction import Fusion


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
    probe, code = Probe.from_dict(settings["probe"]), settings["code"]
    fusions = {name: Fusion.from_dict(fusion) for name, fusion in settings["fusion"].items()}
    result = probe_extraction(by_layer, bundles, probe, fusions, code, indexes, table, record)
    others = ", ".join(result["undecided"])
    compared = f"not significantly better than {others}" if others else "significantly better"
    log.info("best: %s, %s", result["best"], compared)


if "snakemake" in globals():
    with workflow_job(snakemake):
        main(
            snakemake.params.layers,
            list(snakemake.input.records),
            snakemake.params.genomes,
            snakemake.params.settings,
            snakemake.params.indexes,
            snakemake.output.table,
            snakemake.output.record,
        )
