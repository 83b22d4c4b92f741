"""Numbers for MultiQC; tests/export has MultiQC itself read them."""

from pathlib import Path

from evo2_embed.report.multiqc import genome_statistics, layer_table
from evo2_embed.report.summary import Result


def result(name="default"):
    counts = {"contigs": 2, "bases": 900, "chunks": 9, "tokens": 1_800}
    skipped = {"skipped: contig shorter than min_length": 3, "skipped: ambiguous": 4}
    manifest = {
        "genomes": [
            {"genome": "a", "counts": counts | skipped},
            {"genome": "b", "counts": counts},
        ],
        "layers": {"norm": {"rows": 18, "width": 128}},
        "fusions": {},
        "scores": {"rows": 18},
    }
    return Result(name, Path("results/embeddings") / name, manifest, [])


def test_each_genome_is_a_row_of_the_general_statistics():
    made = genome_statistics([result(), result("other")])
    assert made["plot_type"] == "generalstats"
    numbers = {"contigs": 2, "bases": 900, "windows": 9, "tokens": 1_800}
    assert made["data"] == {"a": {**numbers, "skipped": 7}, "b": {**numbers, "skipped": 0}}
    assert [key for column in made["pconfig"] for key in column] == [*numbers, "skipped"]


def test_each_dataset_is_a_row_with_the_numbers_that_were_measured():
    compared = {"default": {"layers": {"norm": {"effective_rank": 3.5, "cosine": None}}}}
    probed = {"default": {"metric": "r2", "scores": {"norm": {"mean": 0.5}}}}
    measured = {"default": {"layers": {"norm": {"settled": 512}}}}
    made = layer_table([result(), result("other")], compared, probed, measured)
    size = {"rows": 18, "width": 128}
    assert made["data"] == {
        "default norm": {"probe": 0.5, "effective_rank": 3.5, "context": 512, **size},
        "default scores": {"rows": 18},
        "other norm": size,
        "other scores": {"rows": 18},
    }
    assert list(made["headers"]) == ["probe", "effective_rank", "context", "rows", "width"]
    assert made["headers"]["probe"]["description"] == "Linear probe: R²"
    alone = layer_table([result()], {}, {}, {})
    assert list(alone["headers"]) == ["rows", "width"]
