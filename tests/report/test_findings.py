"""The first section of the page, and the table of genomes."""

from pathlib import Path

import pytest
from evo2_embed.report.best import Best
from evo2_embed.report.findings import findings
from evo2_embed.report.genomes import genomes
from evo2_embed.report.probes import _interval, chance
from evo2_embed.report.run import run
from evo2_embed.report.stages import Stage
from evo2_embed.report.summary import Result

WILD = "<script>alert(1)</script>"


def result_of(name="default", **manifest):
    """A result without datasets."""
    counts = {"contigs": 1, "bases": 5000, "chunks": 4, "skipped: too short": 3}
    whole = {
        "genomes": [{"genome": WILD, "counts": counts, "columns": {WILD: WILD, "year": 1999}}],
        "layers": {},
        "fusions": {},
        "model": "evo2_tiny",
        "checkpoint_sha256": "ab",
        "engine": "packed",
        "precision": "fp32",
        "pooling": "mean",
        "packages": {"evo2": "1"},
        "workflow": "1",
        "settings": {"windows": {"windows": {}}, "packing": {"packing": PACKING}},
    }
    shard = {
        "shard": "b/0",
        "n_chunks": 4,
        "n_tokens": 90,
        "n_packs": 1,
        "tokens_per_second": 12.0,
        "device": "cpu",
        "peak_memory_mb": 0,
        "padded_tokens": 90,
        "budget_tokens": 100,
    }
    return Result(name, Path("results/embeddings") / name, {**whole, **manifest}, [shard])


PACKING = {"bos": False, "max_tokens": 100, "pad": "PAD", "piece": 100, "strategy": "packed"}


def test_findings_link_to_the_sections_that_there_are():
    best = {"default": Best("norm", "norm is the best layer.")}
    bad = [{"genome": "g", "file": "f", "reason": "r"}]
    page = findings([result_of(skipped=bad)], best, {}, '<section id="genomes">')
    assert "<b>Best layer</b> norm is the best layer." in page
    assert '<a href="#genomes">Skipped</a> 1 genome(s) left out; 3 x too short.' in page
    assert "None was made (stock engine, or no windows)." in page
    linked = findings([result_of()], best, {}, '<section id="which-layer--default">')
    assert '<a href="#which-layer--default">Best layer</a>' in linked


def test_findings_of_several_extractions_name_them():
    best = {name: Best("norm", f"norm of {name}.") for name in "ab"}
    page = findings([result_of("a"), result_of("b")], best, {}, "")
    assert "<b>Best layer of a</b> norm of a." in page
    assert "<b>Best layer of b</b> norm of b." in page


def test_the_table_of_genomes_has_the_columns_of_the_sheet():
    page = genomes([result_of(skipped=[])], {})
    assert WILD not in page
    assert "<td>1999</td><td>1</td><td>5,000</td><td>4</td><td>0</td>" in page
    assert "3 x too short" in page


def test_a_few_shards_are_a_table_and_no_job_took_no_time():
    stages = [Stage("chunk_fasta", 1, 0.2, 0.2, 0.4)]
    page = run([result_of()], stages, None, "2026-01-01 12:00 UTC")
    assert "data-figure" not in page
    assert '<td data-value="0.2">under 1 s</td><td data-value="0.4">under 1 MB</td>' in page
    assert "Page written 2026-01-01 12:00 UTC." in page
    assert "<details><summary>" in page
    many = result_of()
    many.shards.extend(many.shards * 9)
    page = run([many], stages, None, "")
    assert "Speed of 10 shards: 12 tokens per second." in page


def test_intervals_end_where_the_metric_does():
    score = {"mean": 0.6, "low": -0.3, "high": 1.4}
    assert _interval({"metric": "roc_auc", "scores": {"norm": score}}, "norm") == (0, 1)
    assert _interval({"metric": "r2", "scores": {"norm": score}}, "norm") == (-0.3, 1)


@pytest.mark.parametrize(
    ("metric", "value"),
    [
        ("roc_auc", 0.5),
        ("balanced_accuracy", 0.25),
        ("accuracy", 0.7),
        ("r2", 0.0),
        ("spearman", 0.0),
    ],
)
def test_chance_depends_on_the_metric(metric, value):
    labels = {"a": 70, "b": 10, "c": 10, "d": 10}
    assert chance({"metric": metric, "labels": labels})[0] == value
