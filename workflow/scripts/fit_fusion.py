"""Fit the parameters of a fusion, or copy those of another run.

In: the records of its layers and their datasets; parameters or labels, if the settings name them.
Out: the parameters (.npz).
"""

from functools import partial

from evo2_embed.analysis.fusion.fit import fit_layers
from evo2_embed.run.job import workflow_job
from evo2_embed.settings.analyses import Probe


def main(records: list[str], settings: dict, source: str | None, output: str) -> None:
    fit_layers(records, settings, output, source, labeller(settings))


def labeller(settings: dict):
    """The function that labels rows, if weights are learned from labels."""
    if "probe" not in settings:
        return None
    from evo2_embed.analysis.probes.rows import label_rows

    probe = Probe.from_dict(settings["probe"])
    return partial(label_rows, probe=probe, genomes=settings["genomes"])


if "snakemake" in globals():
    with workflow_job(snakemake):
        main(
            list(snakemake.input.records),
            snakemake.params.settings,
            next(iter(snakemake.input.parameters), None),
            snakemake.output.parameters,
        )
