"""A finished run that was made before there were variants: nothing of it is made again.

`older/before_variants.json` is what `described` gave with the last commit without variants.
Snakemake compares params as text. Every file carries a digest of its settings and inputs.
"""

import json
from pathlib import Path

import pyarrow.parquet as pq
from evo2_embed.chunk.chunk_table import chunk_bundle
from evo2_embed.io.tables import table_metadata
from evo2_embed.pack.pack_shard import pack_shard
from evo2_embed.plan.rules import RULES
from evo2_embed.run.frozen import plan_run
from evo2_embed.run.params import rule_params
from runs import CONFIG, merged, random_bases, write_fasta

# Since part files belong to a bundle, datasets are made again from the shards: on a CPU. The report
# shows more than it did.
AGAIN = {"fuse_layers", "write_report"}
BEFORE = Path(__file__).parent / "older" / "before_variants.json"
SETTINGS = {
    "windows": {"size": 60, "strands": "both", "context": {"span": 150, "min": 30}},
    "packing": {"max_tokens": 200},
    "sharding": {"shards": 1},
    "regions": {"flank": 5},
    "compare": {"rows": 30, "control": 4},
    "burn_in": {"length": 1024},
    "probe": {"labels": "r.bed"},
    "extractions": {
        "default": {
            "scores": True,
            "skip_first": 3,
            "levels": ["contig"],
            "fusion": {"f": {"method": {"pca": 2}}},
        },
        "bins": {"layers": ["norm"], "pooling": {"bin": 20}, "dtype": "float16"},
    },
}


def described():
    """What the jobs of a run depend on, as text, and a shard's packs; the run is in the current
    folder."""
    write_fasta("g.fa", [("c", random_bases(500, 1)), ("d", random_bases(90, 2))])
    Path("r.bed").write_text("c\t40\t120\tover\t0\t+\nd\t0\t50\n")
    Path("genomes.tsv").write_text("genome\tfasta\tregions\nplain\tg.fa\t\nwith\tg.fa\tr.bed\n")
    run = plan_run(merged(CONFIG, SETTINGS))
    params = {}
    for rule in RULES:
        for job in run.jobs(rule):
            names = ("extraction", "fusion", "bundle")
            known = {key: value for key, value in job.wildcards.items() if key in names}
            params[job.name] = repr(rule_params(run, rule, **known))
    packs = {}
    for name, bundle in run.bundles.items():
        settings = rule_params(run, "chunk_fasta", bundle=name)["settings"]
        genomes = list(bundle.genomes)
        chunk_bundle(genomes, indexes="i", output=f"{name}.parquet", **settings)
        how = rule_params(run, "pack_tokens")["settings"]
        pack_shard(genomes, f"{name}.parquet", 0, 1, how, "i", f"{name}.packs.parquet")
        file = pq.ParquetFile(f"{name}.packs.parquet")
        packs[name] = [table_metadata(file), *map(str, file.read().to_pylist())]
    return {"params": params, "packs": packs}


def test_a_finished_run_without_variants_is_not_made_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before, today = json.loads(BEFORE.read_text()), json.loads(json.dumps(described()))
    kept = {job: text for job, text in before["params"].items() if job.split()[0] not in AGAIN}
    assert len(kept) > 20
    assert {job: today["params"].get(job) for job in kept} == kept
    assert today["packs"] == before["packs"]
