"""The examples of regions run as they stand, and their rows equal `Evo2.forward`."""

import gzip
import shutil

import numpy as np
import polars as pl
import pytest
import torch
from evo2_embed.model import registry
from evo2_embed.model.loading import load_model
from runs import ROOT, Workflow
from stock import alone, assert_same, bounds_of, in_float64

COMPLEMENT = str.maketrans("ACGT", "TGCA")
LAYER = "blocks.6"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A function that runs a copy of an example: its folder."""
    root = tmp_path_factory.mktemp("examples")
    (root / "resources").mkdir()
    shutil.copy(ROOT / "resources" / "lambda.fa.gz", root / "resources")
    shutil.copytree(ROOT / "config" / "examples", root / "config" / "examples")

    def finished(name):
        folder = root / "config" / "examples" / name
        if not (folder / "results").exists():
            Workflow.at(folder).run()
        return folder

    return finished


@pytest.fixture(scope="module")
def models():
    """The bundled model, and the same in float64."""
    torch.set_num_threads(1)
    evo2 = load_model(registry.TINY, registry.bundled_checkpoint(), "fp32")
    return evo2, in_float64(evo2)


def rows_of(folder, extraction):
    table = pl.read_parquet(folder / f"results/embeddings/{extraction}/{LAYER}/*.parquet")
    return table.with_columns(pl.col("genome", "contig").cast(pl.String))


def bases_of(path):
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt") as handle:
        return "".join(line.strip() for line in handle if not line.startswith(">"))


def assert_rows_equal(rows, sequences, models):
    """Compare rows with the means over the last `n_tokens` of each sequence."""
    stock, exact = (
        {
            LAYER: torch.stack(
                [
                    alone(model, np.frombuffer(text.encode(), np.uint8), [LAYER])[LAYER][-n:].mean(
                        0
                    )
                    for text, n in zip(sequences, rows["n_tokens"], strict=True)
                ]
            )
        }
        for model in models
    )
    assert_same({LAYER: rows["embedding"].to_numpy()}, stock, bounds_of(stock, exact))


def test_genes_of_lambda_are_one_row_each(finished, models):
    folder = finished("genes")
    lines = [line.split("\t") for line in (folder / "lambda.gff3").read_text().splitlines()[1:]]
    rows, genome = rows_of(folder, "genes"), bases_of(folder / "../../../resources/lambda.fa.gz")
    genes = sorted((int(line[3]) - 1, int(line[4]), line[6], line[8][3:]) for line in lines)
    assert rows.select("start", "end", "strand", "name").rows() == genes
    some = [0, 20, 40, 61]
    sequences = [
        genome[max(0, start - 200) : end]
        if strand == "+"
        else genome[start : end + 200].translate(COMPLEMENT)[::-1]
        for start, end, strand, _ in (genes[row] for row in some)
    ]
    assert rows[some]["context"].to_list() == [len(text) for text in sequences]
    assert_rows_equal(rows[some], sequences, models)


def test_a_spliced_transcript_and_a_gene_over_the_origin_are_one_row_each(finished, models):
    folder = finished("transcripts")
    rows = rows_of(folder, "mean")
    kin2, plasmid = bases_of(folder / "kin2.fa"), bases_of(folder / "pPCP1.fa")
    assert len(rows) == 11
    joined, pla = rows.filter(genome="kin2"), rows.filter(name="pla")
    keys = ["start", "end", "strand", "n_tokens", "exons"]
    assert joined.select(keys).row(0) == (43, 579, "+", 264, 3)
    assert pla.select(keys).row(0) == (9272, 10_211, "+", 939, 1)
    exons = kin2[43:160] + kin2[319:390] + kin2[503:579]
    gene = plasmid[9272:] + plasmid[:602]
    assert gene.startswith("ATG")
    assert_rows_equal(pl.concat([joined, pla]), [exons, gene], models)


def test_bins_of_them_lie_on_the_genome(finished):
    rows = rows_of(finished("transcripts"), "bins")
    keys = ["start", "end", "n_tokens", "exons"]
    assert rows.filter(genome="kin2").select(keys).rows() == [
        (43, 93, 50, 1),
        (93, 143, 50, 1),
        (143, 352, 50, 2),
        (352, 515, 50, 2),
        (515, 565, 50, 1),
        (565, 579, 14, 1),
    ]
    pla = rows.filter(name="pla")
    assert pla.select(keys).rows()[5:8] == [
        (9522, 9572, 50, 1),
        (9572, 9622, 50, 1),
        (13, 63, 50, 1),
    ]
