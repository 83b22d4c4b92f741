"""A genome is added to a dataset of many small ones: which jobs run, what they write, how long.

It runs the bundled model. With `--dry-run` it times only `snakemake -n`, for sheets of any length.
"""

import argparse
import random
import resource
import sys
import tempfile
import time
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY / folder) for folder in ("tests", "workflow/scripts")]

from runs import Workflow, write_fasta  # noqa: E402


def prepare(folder: Path, genomes: int, length: int, shard_tokens: int) -> tuple[Workflow, dict]:
    """A working folder, and the FASTA files by genome; that of a further genome is the last."""
    flow, files = Workflow(folder), {}
    bases = "".join(random.Random(1).choices("ACGT", k=length + genomes))
    for number in range(genomes + 1):
        path = folder / "fasta" / f"{number // 1000:03d}" / f"g{number:06d}.fa"
        path.parent.mkdir(parents=True, exist_ok=True)
        files[path.stem] = write_fasta(path, [("c", bases[number : number + length])])
    flow.sheet(dict(list(files.items())[:-1]))
    flow.configure(
        windows={"size": 1000},
        sharding={"shard_tokens": shard_tokens},
        extractions={"default": {"layers": ["blocks.0", "blocks.2"]}},
    )
    return flow, files


def timed(name: str, step) -> None:
    """Run a step and print its time, and the largest memory of a process so far."""
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    step()
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds, processor = time.perf_counter() - started, used.ru_utime - before.ru_utime
    memory = used.ru_maxrss / 1024
    print(f"{name}: {seconds:.0f} s, processor {processor:.0f} s, at most {memory:,.0f} MB")


def sizes(flow: Workflow, since: float = 0.0) -> str:
    """Number and bytes of the dataset files that were written since a moment."""
    paths = flow.folder.glob("results/embeddings/*/*/*.parquet")
    written = [path.stat() for path in paths if path.stat().st_mtime > since]
    return f"{len(written)} files, {sum(state.st_size for state in written):,} bytes"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--genomes", type=int, default=1000)
    parser.add_argument("--length", type=int, default=1000, help="bases per genome")
    parser.add_argument("--shard-tokens", type=int, default=50_000)
    parser.add_argument("--dry-run", action="store_true")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="evo2-embed-growing.") as folder:
        numbers = chosen.genomes, chosen.length, chosen.shard_tokens
        flow, files = prepare(Path(folder) / "run", *numbers)
        if chosen.dry_run:
            timed("snakemake -n", lambda: flow.run("-n", "-q"))
            return
        timed("all genomes", flow.run)
        print(f"dataset: {sizes(flow)}")
        flow.sheet(files)
        print(f"jobs of one more: {dict(flow.planned())}")
        since = time.time()
        timed("one more", flow.run)
        print(f"dataset: {sizes(flow)}, of which {sizes(flow, since)} written")


if __name__ == "__main__":
    main()
