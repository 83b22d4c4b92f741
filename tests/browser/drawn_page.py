"""A page with the section Embeddings alone, of rows and vectors that the tests know."""

import numpy as np
import polars as pl
from evo2_embed.report.drawn_rows import column_colours, row_columns
from evo2_embed.report.embeddings import DrawnEmbeddings, _points, embeddings
from evo2_embed.report.render import About, join_sections

LABELS = np.array(["CDS", "tRNA", "background", None, "CDS"], object)
GAP = 12_000
PER_CONTIG = 30  # windows, each with two strands
ROWS = 4 * 2 * PER_CONTIG


def windows(per_contig):
    """Keys of two genomes with two contigs each; a gap is in the middle of each contig."""
    start = 500 * np.arange(per_contig) + GAP * (np.arange(per_contig) >= per_contig // 2)
    window = pl.DataFrame({"start": start, "end": start + 500})
    named = pl.Series("name", [f"gene_{i // 2}" if i % 3 else None for i in range(per_contig)])
    return pl.concat(
        window.with_columns(named, genome=pl.lit(genome), contig=pl.lit(contig))
        .join(pl.DataFrame({"strand": ["+", "-"]}), how="cross")
        .sort("start", "strand")
        for genome in ("alpha", "beta")
        for contig in ("chr:1", "chr2")
    )


def drawn(per_contig):
    """The page's data of two layers, and their vectors."""
    keys, rng = windows(per_contig), np.random.default_rng(2)
    groups = np.arange(len(keys)) // 10 % len(LABELS)
    gc = np.round(0.3 + 0.4 * rng.random(len(keys)), 3)
    sheet = {"host": {"alpha": "cow", "beta": None}, "year": {"alpha": 1999, "beta": 2001}}
    numbers = {"GC": (gc.tolist(), ".0%"), "bits per base": ((1.5 + gc).tolist(), ".3f")}
    columns = row_columns(keys, lambda _: LABELS[groups], sheet, numbers)
    found, vectors = DrawnEmbeddings([(keys, columns)]), {}
    for name in ("blocks.1", "norm"):
        vectors[name] = rng.normal(size=(len(LABELS), 8))[groups] + rng.normal(size=(len(keys), 8))
        vectors[name] = vectors[name].astype(np.float32)
        points = _points(vectors[name], umap=False)
        points["umap"] = points["pcs"][:2]
        found.datasets[name] = {"table": 0, "total": 9999, "width": 8, "joined": False, **points}
    return found, vectors


def written(path, per_contig, **columns):
    """The page in a file, with further columns."""
    found, vectors = drawn(per_contig)
    found.tables[0][1].update(columns)
    colours = column_colours([found.tables[0][1]])
    about = About("2026-11-28 12:00 UTC", "genomes: genomes.tsv")
    path.write_text(join_sections([embeddings(found, colours, "norm")], ["evo2_tiny"], about))
    return path, found.tables[0][0], vectors, colours
