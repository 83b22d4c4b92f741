"""Run the packs of a shard through the model.

In: a pack file, the record of the model, the frozen settings of the run. Out: one Parquet file per
layer (`tables.embeddings_schema` with chunk), the record of the shard, its speed.
"""

from evo2_embed.doctor import check_job
from evo2_embed.embed.gpus import claim_gpus
from evo2_embed.io.logs import logged_to
from evo2_embed.run.frozen import RUN_CONFIG, load_frozen
from evo2_embed.settings.sections import Runtime


def main(
    packs: str, model: str, settings: dict, runtime: Runtime, record: str, speed: str, gpus: int
) -> None:
    claim_gpus(gpus)
    extraction = settings["extraction"]
    check_job(extraction["model"]["name"], extraction["precision"], model, runtime.device, gpus)
    # Imported late: torch must see the claimed GPU only, and a job that waits should stay small.
    from evo2_embed.embed.embed_shard import embed_shard

    embed_shard(packs, model, settings, runtime, record, speed)


if "snakemake" in globals():
    with logged_to(snakemake.log[0]):
        # `runtime` is no parameter of the rule: results do not depend on `checkpoint_every` etc.
        main(
            snakemake.input.packs,
            snakemake.input.model,
            snakemake.params.settings,
            load_frozen(RUN_CONFIG).settings.runtime,
            snakemake.output.record,
            snakemake.output.speed,
            int(snakemake.resources.get("gpu", 0)),
        )
