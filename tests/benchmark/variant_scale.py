"""Time, memory and file sizes of a million SNVs: plan, chunk, pack, and compare the alleles.

python tests/benchmark/variant_scale.py FOLDER GENOME.fna.gz

The SNVs are made up, at random places of the genome. Nothing is embedded: the vectors of the shards
are random numbers, written by the code that writes those of a model. Each step runs in a process of
its own. The shards of all steps are those of the plan.
"""

import argparse
import gzip
import os
import sys
import time
from pathlib import Path
from types import SimpleNamespace

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))

LAYER, CODE = "blocks.6", 1
SHARES = {
    "window": {"size": 8192},
    "contig": {"size": 8192, "downstream": 1024, "share": "contig"},
}


def write_inputs(folder: Path, genome: Path, number: int) -> None:
    """The genome without its compression, a VCF, and a sheet."""
    import numpy as np

    with gzip.open(genome, "rt") as lines:
        text = lines.read()
    (folder / "g.fna").write_text(text)
    records = [record.partition("\n") for record in text[1:].split("\n>")]
    others = np.zeros((256, 3), np.uint8)
    for base in b"ACGT":
        others[base] = [other for other in b"ACGT" if other != base]
    contigs = [(name.split()[0], bases.replace("\n", "").upper()) for name, _, bases in records]
    total = sum(len(bases) for _, bases in contigs)
    chosen = np.sort(np.random.default_rng(1).choice(3 * total, number, replace=False))
    first = 0
    with open(folder / "v.vcf", "wb") as handle:
        handle.write(b"##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n")
        for name, bases in contigs:
            letters = np.frombuffer(bases.encode(), np.uint8)
            mine = chosen[(chosen >= 3 * first) & (chosen < 3 * (first + len(letters)))]
            place = mine // 3 - first
            alternates = others[letters[place], mine % 3]
            rows = zip(place.tolist(), letters[place].tolist(), alternates.tolist(), strict=True)
            lines = (f"{name}\t{at + 1}\t.\t{a:c}\t{b:c}\t.\t.\t.\n" for at, a, b in rows if b)
            handle.write("".join(lines).encode())
            first += len(letters)
    (folder / "genomes.tsv").write_text("genome\tfasta\tvariants\ng\tg.fna\tv.vcf\n")


def plan(share: str, tokens: int):
    """The run of a way of sharing, and its estimate."""
    from evo2_embed.plan.estimate import estimate_run
    from evo2_embed.run.frozen import plan_run

    run = plan_run(
        {
            "genomes": "genomes.tsv",
            "windows": {"size": 8192, "context": {"span": 65_536, "min": 8192}},
            "variants": SHARES[share],
            "packing": {"max_tokens": 65_536},
            "sharding": {"shard_tokens": tokens},
            "extractions": {"default": {"layers": [LAYER], "scores": True}},
        }
    )
    return run, estimate_run(run.settings, run.bundles, "indexes")


def chunk(run, share: str) -> None:
    from evo2_embed.chunk.chunk_table import chunk_bundle

    settings, genomes = run.settings, list(run.bundles["g"].genomes)
    section = settings.variants.to_dict()
    files = "indexes", f"{share}/g.parquet"
    chunk_bundle(genomes, settings.windows.to_dict(), *files, CODE, 2, variants=section)


def pack(run, share: str, shards: range) -> None:
    from evo2_embed.pack.pack_shard import pack_shard

    bundle, how = run.bundles["g"], {"packing": run.settings.packing.to_dict(), "code": CODE}
    genomes = list(bundle.genomes)
    for shard in shards:
        path = f"{share}/packs/g/{shard:05d}.parquet"
        pack_shard(genomes, f"{share}/g.parquet", shard, bundle.n_shards, how, "indexes", path)


def write_shards(run, share: str, shards: range) -> None:
    """The files of shards, with random vectors."""
    import numpy as np
    import pyarrow.parquet as pq
    from evo2_embed.embed.embed_shard import _columns
    from evo2_embed.embed.rows import ShardRows
    from evo2_embed.embed.shard_files import write_shard
    from evo2_embed.io.files import write_json
    from evo2_embed.pack.metadata import read_metadata
    from evo2_embed.pack.read import read_chunk_keys

    extraction, rng = run.settings.extractions["default"], np.random.default_rng(2)
    columns = _columns(extraction, True)
    for shard in shards:
        file = pq.ParquetFile(f"{share}/packs/g/{shard:05d}.parquet")
        rows, origin = ShardRows(read_chunk_keys(file), extraction.pooling), read_metadata(file)

        def read(name, start, stop):
            size = stop - start, columns[name].width
            return -rng.random(size, np.float32).astype(columns[name].dtype)

        store = SimpleNamespace(rows=rows, columns=columns, read=read, beat=lambda: None)
        metadata = {
            "settings": run.embed_settings("default"),
            "digest": f"{shard}",
            "packs_digest": origin.digest,
            "packing": origin.settings,
            "chunks_digest": origin.chunks_digest,
            **origin.counts(),
            "checkpoint_sha256": "",
            "packages": {},
            "self_check": None,
            "workflow": "",
            "variants": True,
        }
        folder = Path(f"{share}/shards/g/{shard:05d}")
        folder.mkdir(parents=True, exist_ok=True)
        record = {**metadata, **write_shard(store, folder, metadata, 0)}
        write_json(folder / "shard.json", record)


def compare(run, share: str, shards: range) -> None:
    from evo2_embed.dataset.alleles import compare_bundle
    from evo2_embed.dataset.shards import BundleFiles
    from evo2_embed.run.params import rule_params

    records = [f"{share}/shards/g/{shard:05d}/shard.json" for shard in shards]
    settings = rule_params(run, "compare_bundle", extraction="default")["settings"]
    files = BundleFiles(f"{share}/g.parquet", records)
    compare_bundle(files, [LAYER], settings, f"{share}/variants/all.json")


def alone(name: str, step, *files: str) -> None:
    """Run a step in a process of its own; print its seconds, its peak of memory and its files."""
    started = time.perf_counter()
    child = os.fork()
    if not child:
        step()
        sys.stdout.flush()
        os._exit(0)
    _, status, used = os.wait4(child, 0)
    if status:
        sys.exit(f"{name}: failed")
    seconds, peak = time.perf_counter() - started, used.ru_maxrss / 1024
    size = sum(path.stat().st_size for pattern in files for path in Path().glob(pattern)) / 1e6
    print(f"{name}: {seconds:.1f} s, at most {peak:,.0f} MB, files of {size:,.0f} MB", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("genome", type=Path)
    parser.add_argument("--number", type=int, default=1_000_000)
    parser.add_argument("--shard-tokens", type=int, default=100_000_000)
    chosen = parser.parse_args()
    genome = chosen.genome.resolve()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    os.chdir(chosen.folder)
    if not Path("v.vcf").exists():
        alone("inputs", lambda: write_inputs(Path(), genome, chosen.number), "v.vcf", "g.fna")

    def told(share):
        _, estimate = plan(share, chosen.shard_tokens)
        packs = f"packs of {estimate.pack_bytes / 1e6:,.0f} MB"
        print(
            f"{share}: {estimate.windows:,} windows, {estimate.tokens:,} tokens, "
            f"{estimate.shards:,} shards, {packs}, chunks of {estimate.chunk_bytes / 1e6:,.0f} MB"
        )

    def planned(share, step, *shards):
        return lambda: step(plan(share, chosen.shard_tokens)[0], share, *shards)

    for share in SHARES:
        Path(share).mkdir(exist_ok=True)
        alone(f"{share}: plan", lambda share=share: told(share))
        alone(f"{share}: chunk", planned(share, chunk), f"{share}/g.parquet")
    alone("window: pack one shard", planned("window", pack, range(1)), "window/packs/g/*.parquet")
    # The steps of all shards, in one process each.
    every = range(plan("contig", chosen.shard_tokens)[0].bundles["g"].n_shards)
    steps = {"pack": (pack, "packs"), "write shards": (write_shards, "shards")}
    steps["compare"] = compare, "variants"
    for name, (step, files) in steps.items():
        path = f"contig/{files}/**/*.parquet"
        alone(f"contig: {name} (all shards)", planned("contig", step, every), path)


if __name__ == "__main__":
    main()
