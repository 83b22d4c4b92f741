"""Labels and probes in real runs: from a GFF3 to the table and its record."""

import json
from dataclasses import replace
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
from everything import FUSIONS, LAYERS
from evo2_embed.analysis.probes.check import check_labels, rows_of_chunks
from evo2_embed.analysis.probes.design import KEYS
from evo2_embed.analysis.probes.extraction import PROBES, probe_extraction
from evo2_embed.chunk.chunk_table import chunk_bundle
from evo2_embed.dataset.dataset import Dataset
from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.io.errors import InputError
from evo2_embed.io.files import read_json
from evo2_embed.io.tables import open_table
from evo2_embed.run.frozen import load_frozen
from evo2_embed.settings.analyses import Probe
from evo2_embed.settings.extraction import Fusion
from layer_files import Standin
from runs import random_bases, write_fasta

PROBE = {"labels": "g.gff3", "feature": "CDS", "folds": 3, "max_rows": 400}


def test_the_table_has_one_value_per_layer_metric_and_fold(finished_run):
    path = finished_run.folder / "results" / "probes" / "both.parquet"
    table = pl.read_parquet(path)
    assert open_table(path, PROBES).metadata.num_rows == len(table) == 6 * 3 * 3
    assert table["layer"].unique(maintain_order=True).to_list() == [
        *(*LAYERS, *FUSIONS, "gc_kmers", "shuffled_labels")
    ]
    assert len(table.unique(["layer", "metric", "fold"])) == len(table)
    means = table.filter(metric="roc_auc").group_by("layer").agg(pl.col("value").mean())
    means = dict(means.iter_rows())
    assert means["gc_kmers"] > 0.9
    assert means["norm"] > 0.9
    assert abs(means["shuffled_labels"] - 0.5) < 0.15
    record = read_json(path.with_suffix(".json"))
    assert {name: score["mean"] for name, score in record["scores"].items()} == pytest.approx(means)
    assert record["rows"]["used"] == sum(record["labels"].values())
    assert record["metric"] == "roc_auc"
    assert record["settings"]["probe"]["min_overlap"] == 0.5
    assert "genes.gff3" not in json.dumps(record)
    assert record["winner"] is None or not record["undecided"]
    assert str(finished_run.folder) not in path.with_suffix(".json").read_text()
    assert str(finished_run.folder) not in str(pq.read_metadata(path).metadata)


def test_the_check_before_embedding_says_what_the_probe_then_does(finished_run):
    results = finished_run.folder / "results"
    before = read_json(results / "probes" / "both.labels.json")
    after = read_json(results / "probes" / "both.json")
    assert set(before["labels"]) == {"CDS", "background"}
    for key in ("kind", "rows", "labels", "groups", "block", "gap", "folds", "labels_sha256"):
        assert after[key] == before[key]


def probe(extraction, outputs, fusions):
    """Probe a dataset of the run again, with few rows and a stand-in for the model."""
    run = load_frozen("results/run_config.yaml")
    layers = run.settings.extractions[extraction].layers
    records = {layer: f"results/embeddings/{extraction}/{layer}.json" for layer in layers}
    few = replace(run.settings.probe, max_rows=50, folds=2)
    genomes = [list(bundle.genomes) for bundle in run.bundles.values()]
    return probe_extraction(records, genomes, few, fusions, 1, "indexes", *outputs, fit=Standin)


def test_fusions_are_probed_and_the_same_input_gives_the_same_bytes(
    finished_run, tmp_path, monkeypatch
):
    monkeypatch.chdir(finished_run.folder)
    written = []
    for name in ("one", "two"):
        outputs = [str(tmp_path / f"{name}.{kind}") for kind in ("parquet", "json")]
        result = probe("both", outputs, {"all": Fusion(method="concat")})
        written.append([Path(path).read_bytes() for path in outputs])
    assert written[0] == written[1]
    assert list(result["scores"]) == [*LAYERS, "all", "gc_kmers", "shuffled_labels"]
    assert result["rows"]["used"] == 50


def test_rows_without_a_partner_leave_out_a_fusion_of_strands(finished_run, tmp_path, monkeypatch):
    monkeypatch.chdir(finished_run.folder)
    outputs = str(tmp_path / "table.parquet"), str(tmp_path / "record.json")
    # The last bin of a window is shorter than the others, so the strands have other bins.
    result = probe("bins", outputs, {"joined": Fusion(method="concat", strands="mean")})
    assert list(result["scores"]) == ["norm", "gc_kmers", "shuffled_labels"]
    assert "no partner on the other strand" in result["skipped"]["joined"]


def test_rows_of_bins_are_those_of_the_dataset(finished_run):
    results = finished_run.folder / "results"
    keys = Dataset.open(results / "embeddings" / "both" / "norm.json").keys(KEYS)
    chunks = pl.read_parquet(results / "chunks" / "*.parquet").select(KEYS)
    chunks = chunks.with_columns(pl.col("genome", "contig").cast(pl.String))
    assert rows_of_chunks(chunks, "mean").equals(keys)
    windows = [("g", "c", 0, 50, "+"), ("g", "c", 0, 50, "-"), ("g", "d", 5, 25, "-")]
    bins = rows_of_chunks(pl.DataFrame(windows, schema=KEYS, orient="row"), {"bin": 20})
    assert bins.rows() == [
        ("g", "c", 0, 20, "+"),
        ("g", "c", 0, 10, "-"),
        ("g", "c", 10, 30, "-"),
        ("g", "c", 20, 40, "+"),
        ("g", "c", 30, 50, "-"),
        ("g", "c", 40, 50, "+"),
        ("g", "d", 5, 25, "-"),
    ]


@pytest.fixture
def check(complete, tmp_path):
    """A function that checks labels (a text, in TSV or BED) against two small genomes."""
    sections = complete(windows={"size": 50, "min_length": 10})
    genomes = [
        [Genome(name, write_fasta(f"{name}.fa", [("c", random_bases(1000, 1)), ("short", "ACGT")]))]
        for name in "gh"
    ]
    for bundle in genomes:
        name = bundle[0].name
        chunk_bundle(bundle, sections.windows.to_dict(), "indexes", f"{name}.parquet", 1)

    def check(name, text, pooling="mean"):
        (tmp_path / name).write_text(text)
        probe = Probe.from_dict({**PROBE, "labels": name, "feature": None, "gap": 0})
        chunks = ["g.parquet", "h.parquet"]
        return check_labels(chunks, genomes, probe, pooling, 1, "indexes", "labels.json")

    return check


def tsv(rows):
    lines = ["genome\tcontig\tstart\tend\tlabel", *("\t".join(map(str, row)) for row in rows)]
    return "\n".join(lines) + "\n"


def test_labels_are_checked_before_anything_is_embedded(check):
    good = [("g", "c", i, i + 50, "xy"[i // 50 % 2]) for i in range(0, 1000, 50)]
    skipped = [("h", "short", 0, 4, "x")]
    assert check("a.tsv", tsv(good + skipped))["labels"] == {"x": 10, "y": 10}
    bins = check("a.tsv", tsv(good), {"bin": 10})
    assert bins["rows"] == {"all": 200, "labelled": 100, "left_out": 100, "used": 100}
    for name, text, said in (
        ("b.tsv", tsv([*good, ("h", "d", 0, 9, "x")]), "'d' of genome 'h' (known contigs: c)"),
        (
            "b.bed",
            "x\t0\t9\ny\t0\t9\n",
            "2 of its 2 contigs are in no FASTA file; the first is 'x'",
        ),
        ("c.bed", "c\t0\t9\n", "'c' is in the genomes 'g' and 'h'"),
        ("c.tsv", tsv([(*row[:3], row[2] + 9, row[4]) for row in good]), "no row gets a label"),
        ("d.tsv", tsv([*good[:1], *good[1:20:2]]), "label 'x' has 1 rows in 1 blocks, too few"),
    ):
        with pytest.raises(InputError) as error:
            check(name, text)
        assert said in str(error.value)
        assert name in str(error.value)
