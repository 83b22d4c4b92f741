"""Times and memory of the reader, for a made-up dataset: `make benchmark-reader`.

By default 1,000,000 rows of 4,096 numbers: 16.4 GB in FOLDER. `numpy` and `torch` write 8.2 GB more
there, and delete them. Each task runs in a process of its own, so that its memory is its own. A
cold task finds none of the part files in memory.

    python tests/benchmark/reader.py FOLDER --rows 100000 --only neighbours numpy
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import pyarrow as pa
from tabulate import tabulate

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "workflow" / "scripts"), str(ROOT / "tests")]

WIDTH, BATCH = 4096, 2048
WINDOW, STEP = 1000, 500
CONTIGS, GENOMES = 5, 4


def make(folder: Path, rows: int, width: int) -> Path:
    """Write the dataset: windows on both strands, of genes that have names, with random numbers."""
    from evo2_embed.dataset.part_files import write_parts
    from evo2_embed.io.files import write_json
    from evo2_embed.io.tables import embeddings_schema, metadata_schema

    said = dict.fromkeys(("model", "pooling", "precision", "engine", "workflow"), "made up")
    said |= {"layer": "blocks.26", "digest": "made up", "levels": {}}
    schema = metadata_schema(embeddings_schema(width, "float32"), said)
    parts = write_parts(folder / "blocks.26", _tables(rows, width, schema), schema, width)
    said |= {"rows": rows, "width": width, "dtype": "float32", "parts": parts}
    write_json(folder / "blocks.26.json", said)
    return folder / "blocks.26.json"


def _tables(rows: int, width: int, schema: pa.Schema) -> Iterator[pa.Table]:
    from evo2_embed.io.tables import vectors

    rng = np.random.default_rng(0)
    common = rng.standard_normal(width, np.float32)
    noise = rng.standard_normal((BATCH, width), np.float32)
    of_contig = -(-rows // (GENOMES * CONTIGS))
    for first in range(0, rows, BATCH):
        index = np.arange(first, min(first + BATCH, rows))
        contig, place = index // of_contig, index % of_contig // 2
        start = place * STEP
        # Numbers that differ from batch to batch, and do not compress.
        values = common + np.roll(noise, first // BATCH, axis=1)[: len(index)] * rng.uniform(0.1, 1)
        columns = {
            "genome": pa.array([f"genome{i // CONTIGS}" for i in contig]).dictionary_encode(),
            "contig": pa.array([f"g{i // CONTIGS}.chr{i % CONTIGS + 1}" for i in contig]),
            "start": pa.array(start),
            "end": pa.array(start + WINDOW),
            "strand": pa.array(np.where(index % 2, "-", "+")),
            "name": pa.array([f"gene{i // 2:06d}" if i % 10 < 2 else None for i in index]),
            "n_tokens": pa.array(np.full(len(index), WINDOW, np.int32)),
            "context": pa.array(np.full(len(index), WINDOW, np.int32)),
            "exons": pa.array(np.ones(len(index), np.int32)),
            "embedding": vectors(values.astype(np.float32)),
        }
        columns["contig"] = columns["contig"].dictionary_encode()
        yield pa.table({name: columns[name] for name in schema.names}, schema=schema)


class Memory:
    """The largest memory of this process that is no file's."""

    def __init__(self):
        self.largest, self.done = 0, threading.Event()
        self.thread = threading.Thread(target=self._watch, daemon=True)
        self.thread.start()

    def _watch(self) -> None:
        while not self.done.wait(0.02):
            for line in Path("/proc/self/status").read_text().splitlines():
                if line.startswith("RssAnon:"):
                    self.largest = max(self.largest, int(line.split()[1]) << 10)

    def stop(self) -> int:
        self.done.set()
        self.thread.join()
        return self.largest


def timed(name: str, times: dict, work: Callable[[], object]) -> object:
    """Do some work; note its seconds, and those of the processor."""
    begin, processor = time.perf_counter(), time.process_time()
    result = work()
    times[name] = time.perf_counter() - begin, time.process_time() - processor
    print(name, *times[name], file=sys.stderr)
    return result


def cold(folder: Path) -> None:
    """Drop the files of a folder from the memory of the system."""
    for path in folder.rglob("*.parquet"):
        handle = os.open(path, os.O_RDONLY)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(handle)


def disk(folder: Path, times: dict) -> None:
    """Read all part files, and compute their digests: what any pass costs at least."""
    from evo2_embed.io.digests import file_sha256

    def read() -> None:
        for path in sorted(folder.rglob("*.parquet")):
            with open(path, "rb") as file:
                while file.read(1 << 24):
                    pass

    cold(folder)
    timed("read all part files, cold", times, read)
    path = min(folder.rglob("*.parquet"))
    timed("digest of one part file, in memory", times, lambda: file_sha256(path))


def queries(folder: Path, times: dict) -> None:
    """Regions, names and rows."""
    cold(folder)
    evo2_embed = timed("import evo2_embed", times, lambda: __import__("evo2_embed"))
    ds = timed("open", times, lambda: evo2_embed.open(folder / "blocks.26"))
    end = ds.rows(len(ds) - 1)["start"][0]
    rng = np.random.default_rng(1)
    timed("first region, cold", times, lambda: ds.region(("g1.chr2", 10_000, 12_000)))
    seconds, processor = [], time.process_time()
    for _ in range(20):
        contig, start = f"g{rng.integers(4)}.chr{1 + rng.integers(5)}", int(rng.integers(end))
        begin = time.perf_counter()
        ds.region((contig, start, start + 2000))
        seconds.append(time.perf_counter() - begin)
    processor = (time.process_time() - processor) / len(seconds)
    times["another region, cold, median of 20"] = float(np.median(seconds)), processor
    timed("10 rows anywhere, cold", times, lambda: ds.rows(rng.integers(0, len(ds), 10)))
    timed("first name", times, lambda: ds.by_name("gene000100"))
    timed("another name", times, lambda: ds.by_name(f"gene{(len(ds) // 40) * 10:06d}"))


def neighbours(folder: Path, times: dict) -> None:
    """Neighbours of one row, and of 100, from the part files."""
    import evo2_embed

    ds = evo2_embed.open(folder / "blocks.26")
    cold(folder)
    timed("first, cold: digests, mean and neighbours", times, lambda: ds.neighbours(7))
    timed("another row", times, lambda: ds.neighbours(len(ds) // 2))
    many = np.arange(0, len(ds), len(ds) // 100)
    timed("100 rows at once", times, lambda: ds.neighbours(many))


def numpy(folder: Path, times: dict) -> None:
    """All vectors as float16 in a file, and neighbours from it."""
    import evo2_embed

    ds = evo2_embed.open(folder / "blocks.26")
    cold(folder)
    file = folder / "vectors.npy"
    stored = timed("numpy(float16, out=file), cold", times, lambda: ds.numpy(np.float16, out=file))
    timed("the mean and neighbours of a row", times, lambda: ds.neighbours(7, vectors=stored))
    timed("neighbours of another row", times, lambda: ds.neighbours(9, vectors=stored))
    file.unlink()


def array(folder: Path, times: dict) -> None:
    """A quarter of the vectors in memory."""
    import evo2_embed
    import polars as pl

    ds = evo2_embed.open(folder / "blocks.26")
    cold(folder)
    where = pl.col("row") < len(ds) // 4
    timed("numpy() of a quarter of the rows, cold", times, lambda: ds.numpy(where=where))


def torch(folder: Path, times: dict) -> None:
    """A loader that shuffles, from a file with every other row."""
    import evo2_embed
    import polars as pl
    from torch.utils.data import DataLoader

    ds = evo2_embed.open(folder / "blocks.26")
    cold(folder)
    file = folder / "vectors.npy"
    where = pl.col("row") % 2 == 0
    rows = timed("torch(file) of half of the rows, cold", times, lambda: ds.torch(file, where))
    loader = iter(DataLoader(rows, batch_size=256, shuffle=True, num_workers=2))
    next(loader)
    timed("50 shuffled batches of 256", times, lambda: list(islice(loader, 50)))
    file.unlink()


def means(folder: Path, times: dict) -> None:
    """One vector per genome."""
    import evo2_embed

    ds = evo2_embed.open(folder / "blocks.26")
    cold(folder)
    timed("genomes(), cold", times, ds.genomes)


TASKS = {task.__name__: task for task in (disk, queries, neighbours, numpy, array, torch, means)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--only", nargs="+", choices=TASKS, default=list(TASKS))
    parser.add_argument("--keep", action="store_true", help="keep the dataset")
    parser.add_argument("--task", choices=TASKS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.task:
        memory, times = Memory(), {}
        TASKS[options.task](options.folder, times)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
        print(json.dumps([times, memory.stop(), peak]))
        return
    if not (options.folder / "blocks.26.json").exists():
        make(options.folder, options.rows, WIDTH)
    table = []
    for task in options.only:
        command = [sys.executable, __file__, str(options.folder), "--task", task]
        output = subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout
        times, memory, peak = json.loads(output)
        for name, both in times.items():
            table.append((task, name, *(f"{each:.3f}" for each in both), memory >> 20, peak >> 20))
    header = ("task", "what", "seconds", "of the processor", "MB of the task", "with mapped files")
    print(tabulate(table, header, disable_numparse=True))
    if not options.keep:
        shutil.rmtree(options.folder)


if __name__ == "__main__":
    main()
