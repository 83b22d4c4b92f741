"""Run the packs of a shard through the model.

In: a pack file, the record of the model, the frozen settings of the run. Out: one Parquet file per
layer (`tables.embeddings_schema` with chunk), the record of the shard, its speed.
"""

from evo2_embed.doctor import check_job
from evo2_embed.embed.gpus import claim_gpus, wanted_gpus
from evo2_embed.model.weights import obtain_weights
from evo2_embed.run.frozen import RUN_CONFIG, load_frozen
from evo2_embed.run.job import workflow_job


def main(
    packs: str, model: str, settings: dict, name: str, record: str, speed: str, gpu: int
) -> None:
    # Not parameters of the rule: results do not depend on where the weights are, or on
    # `checkpoint_every`.
    frozen = load_frozen(RUN_CONFIG).settings
    used = frozen.extractions[name].model
    weights = obtain_weights(used, frozen.model_directory)
    gpus = wanted_gpus(gpu, frozen.runtime.device)
    claim_gpus(gpus)
    check_job(used.name, settings["extraction"]["precision"], weights, frozen.runtime, gpus)
    # Imported late: torch must see the claimed GPU only, and a job that waits should stay small.
    from evo2_embed.embed.embed_shard import embed_shard

    embed_shard(packs, model, weights, settings, frozen.runtime, record, speed)


if "snakemake" in globals():
    with workflow_job(snakemake):
        main(
            snakemake.input.packs,
            snakemake.input.model,
            snakemake.params.settings,
            snakemake.wildcards.extraction,
            snakemake.output.record,
            snakemake.output.speed,
            int(snakemake.resources.get("gpu", 0)),
        )
