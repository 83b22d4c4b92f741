"""Time, memory and files of the workflow for large inputs, with a model that costs nothing.

The inputs are a genome of 3.1 Gbp, and 10,000 genomes of 100 kbp.

    make scale
    python tests/benchmark/scale.py --only large --scale 0.1 --shard-tokens 50000000

Needs 20 GB in --folder for the large genome, 8 GB for the small ones.
"""

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import yaml
from tabulate import tabulate

ROOT = Path(__file__).resolve().parents[2]
STAND_IN = Path(__file__).resolve().parent / "standin"

# Bases in the contigs of a genome like the human genome, in millions.
CONTIGS = (248, 242, 198, 190, 182, 171, 159, 145, 138, 134, 135, 133, 114, 107, 102, 90, 83)
CONTIGS += (80, 59, 64, 47, 51, 156, 72)
LINE = 60
# Columns of a benchmark file. Its CPU time is a sample that misses the end of short jobs.
SECONDS, PEAK = "s", "max_rss"
RULES = ("chunk_fasta", "pack_tokens", "embed_shard", "aggregate_bundle", "write_report")


def write_contigs(path: Path, lengths: list[int], rng: np.random.Generator) -> None:
    """Write a FASTA file of random bases, with lines of 60."""
    letters = np.frombuffer(b"ACGT", np.uint8)
    with open(path, "wb") as handle:
        for number, length in enumerate(lengths):
            handle.write(f">contig{number}\n".encode())
            for start in range(0, length, LINE * 100_000):
                bases = letters[rng.integers(0, 4, min(LINE * 100_000, length - start), np.uint8)]
                full = len(bases) // LINE
                lines = np.full((full, LINE + 1), ord("\n"), np.uint8)
                lines[:, :LINE] = bases[: full * LINE].reshape(full, LINE)
                handle.write(lines.tobytes())
                if full * LINE < len(bases):
                    handle.write(bases[full * LINE :].tobytes() + b"\n")


def make_large(folder: Path, scale: float) -> dict[str, Path]:
    """One genome of 3.1 Gbp in 24 contigs."""
    lengths = [int(length * 1_000_000 * scale) for length in CONTIGS]
    write_contigs(folder / "large.fa", lengths, np.random.default_rng(1))
    return {"large": folder / "large.fa"}


def make_small(folder: Path, scale: float) -> dict[str, Path]:
    """10,000 genomes of 100 kbp."""
    rng = np.random.default_rng(2)
    files = {
        f"g{number:05d}": folder / f"g{number:05d}.fa" for number in range(int(10_000 * scale))
    }
    for path in files.values():
        write_contigs(path, [100_000], rng)
    return files


def configure(folder: Path, genomes: dict[str, Path], options: argparse.Namespace) -> None:
    """Write sheet and configuration; the weights are empty, since nothing loads them."""
    (folder / "config").mkdir()
    rows = [f"{name}\t{path}\n" for name, path in genomes.items()]
    (folder / "config" / "genomes.tsv").write_text("genome\tfasta\n" + "".join(rows))
    torch.save({}, folder / "weights.pt")
    config = {
        "genomes": "config/genomes.tsv",
        "windows": {"size": 8192, "strands": "+"},
        "sharding": {"shard_tokens": options.shard_tokens},
        "model": {"name": options.model, "checkpoint": "weights.pt"},
        "runtime": {"device": "cpu"},
        "extractions": {"default": {"layers": [options.layer], "precision": "fp32"}},
        # Their cost does not depend on the size of a genome.
        "compare": {"rows": 0},
        "burn_in": {"length": 0},
        "report": {"umap": False},
    }
    (folder / "config" / "config.yaml").write_text(yaml.safe_dump(config))


def snakemake(folder: Path, *arguments: str) -> tuple[float, float]:
    """Run Snakemake in a folder; returns its seconds, and CPU seconds with its jobs."""
    command = [sys.executable, "-m", "snakemake", "-s", ROOT / "Snakefile", "--cores", "2"]
    command += ["--directory", folder, "--quiet", "all", *arguments]
    environment = os.environ | {
        "PYTHONPATH": f"{STAND_IN}:{ROOT / 'tests'}",
        "CUDA_VISIBLE_DEVICES": "",
    }
    started, before = time.perf_counter(), children_seconds()
    with open(folder / "snakemake.log", "a") as log:
        subprocess.run(command, cwd=ROOT, env=environment, check=True, stdout=log, stderr=log)
    return time.perf_counter() - started, children_seconds() - before


def children_seconds() -> float:
    """CPU time of ended child processes."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def measure(folder: Path) -> list[list]:
    """Per rule its jobs, seconds from the first start to the last end, and memory."""
    rows = []
    for rule in RULES:
        jobs = []
        for path in (folder / "benchmarks").rglob("*.tsv"):
            if rule in path.relative_to(folder / "benchmarks").parts[0]:
                head, values = (line.split("\t") for line in path.read_text().splitlines()[:2])
                job = dict(zip(head, values, strict=True))
                jobs.append((path.stat().st_mtime, *(float(job[key]) for key in (SECONDS, PEAK))))
        end, seconds, memory = (np.array(column) for column in zip(*jobs, strict=True))
        wall = end.max() - (end - seconds).min()
        rows.append([rule, len(jobs), wall, memory.max()])
    return rows


def run_case(name: str, make, folder: Path, options: argparse.Namespace) -> str:
    """Run the workflow on synthetic genomes; returns a table of time and memory."""
    folder.mkdir(parents=True)
    genomes = make(folder, options.scale)
    configure(folder, genomes, options)
    dry, _ = snakemake(folder, "-n")
    _, cpu = snakemake(folder, "--until", "pack_tokens")
    snakemake(folder)
    after, _ = snakemake(folder, "-n")
    rows = measure(folder)
    bases = sum(path.stat().st_size for path in genomes.values()) * LINE / (LINE + 1)
    speed = bases / 1e6 / (rows[0][2] + rows[1][2])
    files = sum(path.is_file() for path in (folder / "results").rglob("*"))
    size = sum(path.stat().st_size for path in (folder / "results").rglob("*") if path.is_file())
    heads = ["rule", "jobs", "wall s", "peak MB per job"]
    return "\n".join(
        [
            f"{name}: {len(genomes):,} genomes, {bases / 1e6:,.0f} Mbp, shards of "
            f"{options.shard_tokens:,} tokens, {options.model} {options.layer}",
            tabulate(rows, heads, tablefmt="github", floatfmt=",.0f", intfmt=","),
            f"chunk + pack: {speed:,.0f} Mbp/s, {cpu:,.0f} s of CPU with Snakemake's own; "
            f"dry run {dry:.1f} s, when done {after:.1f} s; "
            f"results/: {files:,} files, {size / 1e9:.1f} GB",
        ]
    )


CASES = {"large": make_large, "small": make_small}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=CASES)
    parser.add_argument(
        "--scale", type=float, default=1.0, help="size of the genome, or number of genomes"
    )
    parser.add_argument("--shard-tokens", type=int, default=200_000_000)
    parser.add_argument(
        "--model", default="evo2_7b", help="model whose layer gives the width of vectors"
    )
    parser.add_argument("--layer", default="blocks.26")
    parser.add_argument("--folder", type=Path, help="working folder; default: a temporary folder")
    parser.add_argument("--keep", action="store_true", help="keep all files")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="evo2-embed-scale.", dir=options.folder))
    try:
        for name, make in CASES.items():
            if options.only in (None, name):
                print(run_case(name, make, folder / name, options), end="\n\n", flush=True)
                if not options.keep:
                    shutil.rmtree(folder / name)
    finally:
        if not options.keep:
            shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
