"""Fit the parameters of a fusion, or take those of another run.

In: the records of its layers and the datasets they name; parameters, or labels, where asked for.
Out: the parameters (.npz).
"""

from functools import partial

from evo2_embed.analysis.fusion.fit import fit_layers
from evo2_embed.io.logs import logged_to


def main(records: list[str], settings: dict, source: str | None, output: str) -> None:
    fit_layers(records, settings, output, source, labeller(settings))


def labeller(settings: dict):
    """What gives rows their labels, where weights are learned."""
    if "probe" not in settings:
        return None
    from evo2_embed.analysis.probes.rows import label_rows

    return partial(label_rows, probe=settings["probe"], genomes=settings["genomes"])


if "snakemake" in globals():
    with logged_to(snakemake.log[0]):
        main(
            list(snakemake.input.records),
            snakemake.params.settings,
            next(iter(snakemake.input.parameters), None),
            snakemake.output.parameters,
        )
