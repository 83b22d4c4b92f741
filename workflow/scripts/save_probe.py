"""Fit the probe of a layer to all labelled rows, and save it as a head.

In: the labels, the record of the layer and its dataset; of a fusion also its parameters.
Out: the head (safetensors).
"""

from evo2_embed.analysis.heads.saving import save_probe
from evo2_embed.run.job import workflow_job
from evo2_embed.settings.analyses import Probe


def main(record: str, genomes: list[str], settings: dict, parameters: list[str], head: str) -> None:
    probe = Probe.from_dict(settings["probe"])
    save_probe(record, genomes, probe, settings["code"], next(iter(parameters), None), head)


if "snakemake" in globals():
    with workflow_job(snakemake):
        main(
            snakemake.input.record,
            snakemake.params.genomes,
            snakemake.params.settings,
            list(snakemake.input.parameters),
            snakemake.output.head,
        )
