"""Run the packs of a shard through the model.

In: a pack file, the model's record. Out: one Parquet file a layer
(`tables.embeddings_schema` with chunk), the shard's record, its speed.
"""

from evo2_embed.doctor import check_job
from evo2_embed.embed.gpus import claim_gpus
from evo2_embed.io.logs import logged_to


def main(
    packs: str,
    model: str,
    settings: dict,
    device: str,
    record: str,
    speed: str,
    checkpoint_every: float,
    hang_after: float,
    kv_device: str,
    gpus: int,
) -> None:
    claim_gpus(gpus)
    extraction = settings["extraction"]
    check_job(extraction["model"]["name"], extraction["precision"], model, device, gpus)
    # It imports torch, which is to see no other GPU; a job that waits for one should be small.
    from evo2_embed.embed.embed_shard import embed_shard

    embed_shard(
        packs, model, settings, device, record, speed, checkpoint_every, hang_after, kv_device
    )


if "snakemake" in globals():
    with logged_to(snakemake.log[0]):
        main(
            snakemake.input.packs,
            snakemake.input.model,
            snakemake.params.settings,
            snakemake.params.device,
            snakemake.output.record,
            snakemake.output.speed,
            snakemake.resources.checkpoint_every,
            snakemake.resources.hang_after,
            snakemake.resources.kv_device,
            int(snakemake.resources.get("gpu", 0)),
        )
