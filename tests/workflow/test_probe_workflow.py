"""Labels and probes in real runs: from a GFF3 to the table and its record."""

import json
import random
from dataclasses import replace
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
from evo2_embed.analysis.probes.check import check_labels, rows_of_chunks
from evo2_embed.analysis.probes.design import KEYS
from evo2_embed.analysis.probes.extraction import PROBES, probe_extraction
from evo2_embed.chunk.chunk_table import chunk_bundle
from evo2_embed.dataset.dataset import Dataset
from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.io.errors import InputError
from evo2_embed.io.files import read_json
from evo2_embed.io.tables import open_table
from evo2_embed.plan.estimate import estimate_run
from evo2_embed.run.frozen import load_frozen
from evo2_embed.settings.sections import Fusion, Probe
from runs import Workflow, random_bases, write_fasta
from test_probes import Standin

PROBE = {"labels": "g.gff3", "feature": "CDS", "folds": 3, "max_rows": 400}
OWN = {"check_labels", "probe_layers", "write_report", "all"}


def genome_with_genes(folder, genes=25, seed=0):
    """A genome whose genes are rich in GC, and a GFF3 that names them."""
    rng = random.Random(seed)
    pieces, lines, place = [], ["##gff-version 3"], 0
    for number in range(2 * genes):
        length = rng.randint(300, 600)
        gc = 0.35 if number % 2 else 0.15
        pieces += rng.choices("ACGT", weights=[0.5 - gc, gc, gc, 0.5 - gc], k=length)
        if number % 2:
            lines.append(f"chr\tx\tCDS\t{place + 1}\t{place + length}\t.\t+\t0\tID=c{number}")
        place += length
    write_fasta(folder / "g.fa", [("chr", "".join(pieces)), ("tiny", "ACGT")])
    (folder / "g.gff3").write_text("\n".join([*lines, "tiny\tx\tCDS\t1\t4\t.\t+\t0\t"]) + "\n")


def configure(flow, extractions=None, **probe):
    extractions = {"default": {"layers": ["blocks.0", "norm"]}, **(extractions or {})}
    windows = {"size": 200, "min_length": 20}
    changes = {"windows": windows, "report": {"umap": False}, "probe": {**PROBE, **probe}}
    flow.configure(extractions=extractions, **changes)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    flow = Workflow(tmp_path_factory.mktemp("probes") / "flow")
    genome_with_genes(flow.folder)
    flow.sheet({"g": "g.fa"})
    configure(flow)
    flow.before = flow.planned()
    flow.run()
    return flow


def test_the_table_has_a_value_a_layer_metric_and_fold(finished):
    path = finished.folder / "results" / "probes" / "default.parquet"
    table = pl.read_parquet(path)
    assert open_table(path, PROBES).metadata.num_rows == len(table) == 4 * 3 * 3
    assert table["layer"].unique(maintain_order=True).to_list() == [
        *("blocks.0", "norm", "gc_kmers", "shuffled_labels")
    ]
    assert len(table.unique(["layer", "metric", "fold"])) == len(table)
    means = table.filter(metric="roc_auc").group_by("layer").agg(pl.col("value").mean())
    means = dict(means.iter_rows())
    assert means["gc_kmers"] > 0.9
    assert means["blocks.0"] > 0.9
    assert abs(means["shuffled_labels"] - 0.5) < 0.15
    record = read_json(path.with_suffix(".json"))
    assert {name: score["mean"] for name, score in record["scores"].items()} == pytest.approx(means)
    assert record["rows"]["used"] == sum(record["labels"].values())
    assert record["metric"] == "roc_auc"
    assert record["settings"]["probe"]["min_overlap"] == 0.5
    assert "g.gff3" not in json.dumps(record)
    assert record["winner"] is None or not record["undecided"]
    assert str(finished.folder) not in path.with_suffix(".json").read_text()
    assert str(finished.folder) not in str(pq.read_metadata(path).metadata)


def test_the_check_before_embedding_says_what_the_probe_then_does(finished):
    results = finished.folder / "results"
    before = read_json(results / "probes" / "default.labels.json")
    after = read_json(results / "probes" / "default.json")
    assert set(before["labels"]) == {"CDS", "background"}
    for key in ("kind", "rows", "labels", "groups", "block", "gap", "folds", "labels_sha256"):
        assert after[key] == before[key]


def test_the_plan_counts_the_jobs_and_a_second_run_does_nothing(finished):
    run = load_frozen(finished.folder / "results" / "run_config.yaml")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(finished.folder)
        jobs = estimate_run(run.settings, run.bundles, "results/indexes").jobs
    assert finished.before == {**jobs, "all": 1}
    assert not finished.planned()


def test_other_labels_and_another_section_rerun_the_probes_only(finished, tmp_path):
    flow = finished.copy_to(tmp_path / "flow")
    configure(flow, min_overlap=0.9)
    assert set(flow.planned()) == OWN
    configure(flow)
    configure(flow, extractions={"bins": {"layers": ["norm"], "pooling": {"bin": 50}}})
    jobs = flow.planned()
    assert jobs["check_labels"] == jobs["probe_layers"] == 1
    configure(flow)
    path = flow.folder / "g.gff3"
    path.write_text(path.read_text().rsplit("\n", 9)[0] + "\n")
    assert set(flow.planned()) == OWN


def test_fusions_are_probed_and_the_same_input_gives_the_same_bytes(
    finished, tmp_path, monkeypatch
):
    monkeypatch.chdir(finished.folder)
    run = load_frozen("results/run_config.yaml")
    folder = "results/embeddings/default"
    records = {layer: f"{folder}/{layer}.json" for layer in ("blocks.0", "norm")}
    probe = replace(run.settings.probe, max_rows=50, folds=2)
    fusions = {"both": Fusion(method="concat"), "joined": Fusion(method="concat", strands="mean")}
    genomes = [[Genome("g", "g.fa")]]
    written = []
    for name in ("one", "two"):
        outputs = str(tmp_path / f"{name}.parquet"), str(tmp_path / f"{name}.json")
        result = probe_extraction(
            records, genomes, probe, fusions, 1, "indexes", *outputs, fit=Standin
        )
        written.append([Path(path).read_bytes() for path in outputs])
    assert written[0] == written[1]
    assert list(result["scores"]) == ["blocks.0", "norm", "both", "gc_kmers", "shuffled_labels"]
    assert result["rows"]["used"] == 50
    assert "no partner on the other strand" in result["skipped"]["joined"]


def test_rows_of_bins_are_those_of_the_dataset(tmp_path, monkeypatch, finished):
    monkeypatch.chdir(tmp_path)
    folder = finished.folder / "results" / "embeddings" / "default"
    keys = Dataset.open(folder / "norm.json").keys(KEYS)
    chunks = pl.read_parquet(finished.folder / "results" / "chunks" / "g.parquet").select(KEYS)
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
