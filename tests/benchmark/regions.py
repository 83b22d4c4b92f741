"""Time and memory of many regions: from a made-up genome and file of regions to packs.

python tests/benchmark/regions.py FOLDER bed    1,000,000 intervals
python tests/benchmark/regions.py FOLDER gtf    60,000 transcripts of about ten exons, spliced
"""

import resource
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "workflow" / "scripts"))

from evo2_embed.chunk.chunk_table import chunk_bundle  # noqa: E402
from evo2_embed.genomes.regions import read_regions  # noqa: E402
from evo2_embed.genomes.sample_sheet import Genome  # noqa: E402
from evo2_embed.pack.pack_shard import pack_shard  # noqa: E402
from evo2_embed.settings.jobs import Packing  # noqa: E402
from evo2_embed.settings.windows import RegionSettings, Windows  # noqa: E402

CONTIGS, BASES = 10, 10_000_000


def write_genome(path, rng):
    """Contigs of random bases, in lines of 80."""
    letters = np.frombuffer(b"ACGT", np.uint8)
    with open(path, "wb") as handle:
        for contig in range(CONTIGS):
            lines = np.full((BASES // 80, 81), ord("\n"), np.uint8)
            lines[:, :80] = letters[rng.integers(0, 4, (BASES // 80, 80), np.uint8)]
            handle.write(f">chr{contig}\n".encode() + lines.tobytes())


def write_bed(path, rng, number=1_000_000):
    """Intervals of 100 to 2,000 bases."""
    contig, length = rng.integers(0, CONTIGS, number), rng.integers(100, 2_001, number)
    start = rng.integers(0, BASES - 2_000, number)
    strand = np.array(["+", "-"])[rng.integers(0, 2, number)]
    with open(path, "w") as handle:
        for row in zip(contig, start, start + length, range(number), strand, strict=True):
            handle.write("chr{}\t{}\t{}\tpeak{}\t0\t{}\n".format(*row))


def write_gtf(path, rng, number=60_000):
    """Transcripts of 2 to 18 exons of 50 to 300 bases, with introns of up to 5,000 bases."""
    with open(path, "w") as handle:
        for transcript in range(number):
            count = int(rng.integers(2, 19))
            exons, introns = rng.integers(50, 301, count), rng.integers(50, 5_001, count)
            ends = np.cumsum(exons + introns) + int(rng.integers(0, BASES - 100_000))
            contig, strand = int(rng.integers(0, CONTIGS)), "+-"[transcript % 2]
            names = f'gene_id "g{transcript // 3}"; transcript_id "t{transcript}";'
            for start, end in zip((ends - exons).tolist(), ends.tolist(), strict=True):
                columns = (f"chr{contig}", "made", "exon", start + 1, end, ".", strand, ".", names)
                handle.write("\t".join(map(str, columns)) + "\n")


def main(folder, kind):
    """Print seconds, and the peak of memory so far, of each step."""
    folder, rng = Path(folder), np.random.default_rng(1)
    folder.mkdir(parents=True, exist_ok=True)
    fasta, regions = folder / "genome.fa", folder / f"regions.{kind}"
    if not fasta.exists():
        write_genome(fasta, rng)
    if not regions.exists():
        (write_bed if kind == "bed" else write_gtf)(regions, rng)
    genomes = [Genome("g", str(fasta), str(regions))]
    section = {"splice": kind == "gtf", "flank": 500}
    how = {"packing": Packing(piece=16_384).to_dict(), "code": 1}
    chunks, packs, indexes = (str(folder / name) for name in ("c.parquet", "p.parquet", "i"))
    steps = {
        "read": lambda: read_regions(str(regions), RegionSettings.from_dict(section)),
        "chunk": lambda: chunk_bundle(genomes, Windows().to_dict(), indexes, chunks, 1, 2, section),
        "pack": lambda: pack_shard(genomes, chunks, 0, 1, how, indexes, packs),
    }
    for name, step in steps.items():
        started = time.perf_counter()
        found = step()
        seconds = time.perf_counter() - started
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        print(f"{name}: {seconds:.1f} s, at most {peak:,.0f} MB")
    print(f"{found.n_chunks:,} windows, {found.n_tokens:,} tokens, {found.n_packs:,} packs")


if __name__ == "__main__":
    main(*sys.argv[1:])
