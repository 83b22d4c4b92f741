"""The bundled genome from FASTA to Parquet, stage by stage, where there is no Snakemake."""

from pathlib import Path

import pyarrow.parquet as pq
from evo2_embed.chunk.chunk_table import chunk_bundle
from evo2_embed.dataset.aggregate import aggregate_bundle, join_layer
from evo2_embed.dataset.shards import BundleFiles
from evo2_embed.embed.embed_shard import embed_shard
from evo2_embed.model.registry import bundled_checkpoint
from evo2_embed.model.weights import fetch_model
from evo2_embed.pack.pack_shard import pack_shard
from evo2_embed.run.frozen import plan_run
from evo2_embed.run.params import rule_params
from evo2_embed.settings.extraction import Model

ROOT = Path(__file__).resolve().parents[2]


def embed_bundled_genome(folder: Path, precision: str, device: str) -> int:
    """Embed phage lambda with the bundled model; the number of rows of its dataset."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "genomes.tsv").write_text(
        f"genome\tfasta\nlambda\t{ROOT / 'resources' / 'lambda.fa.gz'}\n", encoding="utf-8"
    )
    layer = "blocks.6.mlp.l3"
    extraction = {"layers": [layer], "pooling": "mean", "precision": precision}
    run = plan_run(
        {
            "genomes": str(folder / "genomes.tsv"),
            "windows": {"size": 1000},
            "runtime": {"device": device},
            "extractions": {"default": extraction},
        }
    )
    (bundle,) = run.bundles.values()
    chunks = str(folder / "chunks" / f"{bundle.name}.parquet")
    indexes, model = str(folder / "indexes"), str(folder / "model.json")
    Path(chunks).parent.mkdir(exist_ok=True)

    def settings(rule: str) -> dict:
        return rule_params(run, rule, "default", bundle=bundle.name)["settings"]

    chunking = settings("chunk_fasta")
    chunk_bundle(bundle.genomes, chunking["windows"], indexes, chunks, chunking["code"], 1)
    fetch_model(Model(), str(folder), model)
    weights, records = bundled_checkpoint(), []
    for shard in range(bundle.n_shards):
        packs = str(folder / "packs" / bundle.name / f"{shard:05d}.parquet")
        shards = folder / "shards" / bundle.name / f"{shard:05d}"
        for path in (Path(packs).parent, shards):
            path.mkdir(parents=True, exist_ok=True)
        pack_shard(
            bundle.genomes, chunks, shard, bundle.n_shards, settings("pack_tokens"), indexes, packs
        )
        record, speed = str(shards / "shard.json"), str(shards / "speed.json")
        embed_shard(
            packs, model, weights, settings("embed_shard"), run.settings.runtime, record, speed
        )
        records.append(record)
    (files,) = BundleFiles.group([chunks], [bundle.n_shards], records)
    of_bundle, record = (str(folder / name / f"{layer}.json") for name in ("bundle", "dataset"))
    aggregate_bundle(files, [layer], settings("aggregate_bundle"), of_bundle)
    join_layer([of_bundle], layer, settings("aggregate_embeddings"), record)
    return pq.ParquetDataset(folder / "dataset" / layer).read(["start"]).num_rows
