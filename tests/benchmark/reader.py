"""Times and memory of the reader, for a made-up dataset: `make benchmark-reader`.

By default 1,000,000 rows of 4,096 numbers: 16 GB in the folder FOLDER, and as much again while
`numpy` and `torch` write their files. The folder is deleted at the end, unless `--keep` is given.
Each task runs in a process of its own, so that its memory is its own.
"""

import argparse
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pyarrow as pa

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


def _tables(rows: int, width: int, schema: pa.Schema):
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
