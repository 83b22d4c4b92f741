"""Measure how the embeddings of an extraction change with upstream context.

In: the pack file of its stretches, the record of their embeddings. Out: a JSON file, see
`burn_in.measure.measure_burn_in`.
"""

from evo2_embed.analysis.burn_in.measure import measure_burn_in
from evo2_embed.run.job import workflow_job


def main(packs: str, record: str, settings: dict, output: str) -> None:
    measure_burn_in(packs, record, settings["code"], output)


if "snakemake" in globals():
    with workflow_job(snakemake):
        main(
            snakemake.input.packs,
            snakemake.input.record,
            snakemake.params.settings,
            snakemake.output.measured,
        )
