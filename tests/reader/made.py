"""Datasets for tests of the reader."""

import numpy as np
import pyarrow as pa
from evo2_embed.dataset.kinds import alleles_schema
from evo2_embed.io.tables import vectors
from layer_files import write_dataset, write_layer

WIDTH = 5


def windows(contig, count, name=None):
    """Windows of 9 bases, one every 5 bases, on both strands."""
    return [
        (contig, 5 * i, 5 * i + 9, strand, name and f"{name}{i}")
        for i in range(count)
        for strand in "+-"
    ]


# Contigs in the order of a FASTA file, which is not that of their names. `shared` is in both
# genomes.
ONE = [*windows("shared", 40, "dna"), *windows("alone:1", 30)]
TWO = [*windows("shared", 20, "gene"), *windows("chr2", 25, "dna")]
ROWS = ONE + TWO
GENOMES = ["one"] * len(ONE) + ["two"] * len(TWO)


def vectors_of(count, seed=0):
    """Vectors with a large part in common, as embeddings have."""
    rng = np.random.default_rng(seed)
    common = 10 * rng.standard_normal(WIDTH)
    return (common + rng.standard_normal((count, WIDTH))).astype(np.float32)


VALUES = vectors_of(len(ROWS))


def write(folder, name="blocks.2", values=VALUES, rows=ROWS, genomes=GENOMES, **more):
    """A dataset of two genomes, in two bundles and several part files."""
    more = {"bundles": ("one", "two"), "model": "evo2_tiny", **more}
    return write_layer(folder, name, values, rows, genomes=genomes, **more)


def write_variants(folder, name, variants, deltas):
    """A dataset of variants: (id, contig, position, reference, alternate) each."""
    ids, contigs, positions, refs, alts = zip(*variants, strict=True)
    schema = alleles_schema(WIDTH, scores=True)
    columns = {
        "variant": [":".join(map(str, variant[1:])) for variant in variants],
        "id": ids,
        "genome": pa.array(["g"] * len(ids)).dictionary_encode(),
        "contig": pa.array(contigs).dictionary_encode(),
        "position": positions,
        "ref": refs,
        "alt": alts,
        "strand": ["+"] * len(ids),
    }
    for column in schema.names[len(columns) :]:
        columns[column] = vectors(deltas) if column.startswith("delta") else np.zeros(len(ids))
    table = pa.table({column: columns[column] for column in schema.names}, schema=schema)
    settings = {"extraction": {"scores": True}}
    return write_dataset(folder, name, table, 2 * WIDTH, settings=settings, width=WIDTH)
