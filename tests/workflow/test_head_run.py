"""Heads in a real run: what they give, and what a new one reruns."""

import contextlib
import json
import shutil
from pathlib import Path

import evo2_embed
import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from everything import EXTRACTIONS, FEATURES, HEADS, configure
from evo2_embed.analysis.heads.writing import apply_bundle
from evo2_embed.io.errors import InputError
from evo2_embed.io.files import read_json
from evo2_embed.report import heads
from evo2_embed.report.summary import load_results
from evo2_embed.run.frozen import load_frozen
from evo2_embed.run.params import rule_params
from evo2_embed.run.record_files import recorded_files
from evo2_embed.run.verify import verify_run
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

PROBE = "results/probes/both/directions.safetensors"


def rows_of(flow, folder):
    return pl.read_parquet(flow.folder / "results" / folder / "*.parquet")


def vectors_of(flow, layer):
    table = rows_of(flow, f"embeddings/both/{layer}")
    return table.drop("embedding"), table["embedding"].to_numpy().astype(np.float64)


def test_a_probe_of_the_run_gives_probabilities_of_every_row_of_its_layer(finished_run):
    keys, vectors = vectors_of(finished_run, "directions")
    table = rows_of(finished_run, "heads/both/genes")
    assert table.drop("label", "p_CDS", "p_background").equals(keys)
    probe = load_file(finished_run.folder / PROBE)
    logits = (vectors - probe["mean"]) @ probe["weight"].T + probe["bias"]
    wanted = 1 / (1 + np.exp(logits[:, :1] - logits[:, 1:]))
    found = table["p_background"].to_numpy()
    np.testing.assert_allclose(found, wanted[:, 0], atol=1e-6)
    np.testing.assert_allclose(table["p_CDS"].to_numpy(), 1 - wanted[:, 0], atol=1e-6)
    labels = np.where(wanted[:, 0] > 0.5, "background", "CDS")
    assert table["label"].cast(pl.String).to_list() == labels.tolist()
    assert {*labels} == {"CDS", "background"}
    dataset = evo2_embed.open(finished_run.folder / "results/heads", "both", "genes")
    assert (len(dataset), dataset.layers) == (len(table), list(HEADS))
    assert dataset.scan().collect().drop("row").equals(table)
    dataset.verify()
    results = finished_run.folder / "results"
    same = evo2_embed.open(results, "both", "genes")
    assert same.dataset.path.samefile(dataset.dataset.path)
    manifest = read_json(results / "embeddings/both/manifest.json")
    assert same.manifest == manifest
    with pytest.raises(InputError, match="no layer 'gene'.*genes"):
        evo2_embed.open(results, "both", "gene")


def test_a_saved_probe_says_what_it_was_fitted_to(finished_run):
    results = finished_run.folder / "results"
    record = read_json(results / "embeddings/both/directions.json")
    probed = read_json(results / "probes/both.json")
    with safe_open(finished_run.folder / PROBE, "np") as file:
        said = file.metadata()
    assert said["layer"] == "directions"
    assert said["labels_sha256"] == probed["labels_sha256"]
    assert int(said["rows"]) == probed["rows"]["used"]
    assert json.loads(said["classes"]) == sorted(probed["labels"])
    for key in ("model", "checkpoint_sha256", "precision"):
        assert said[key] == record[key]
    assert json.loads(said["evo2_embed"])["dataset"] == record["digest"]
    assert str(finished_run.folder) not in str(said)
    names = {path.stem for path in (results / "probes/both").iterdir()}
    assert names == {*EXTRACTIONS["both"]["layers"], "directions"}


def test_a_sparse_head_gives_the_largest_features_of_every_row(finished_run):
    keys, vectors = vectors_of(finished_run, HEADS["features"]["layer"])
    table = rows_of(finished_run, "heads/both/features")
    assert table.drop("features", "values").equals(keys)
    arrays = load_file(finished_run.folder / FEATURES)
    wanted = vectors @ arrays["weight"].astype(np.float64).T + arrays["bias"]
    order = np.argsort(-wanted, axis=1)[:, : HEADS["features"]["k"]]
    assert table["features"].to_list() == order.tolist()
    values = np.take_along_axis(wanted, order, axis=1)
    np.testing.assert_allclose(np.array(table["values"].to_list()), values, rtol=1e-4)


def test_the_manifest_the_plan_and_the_summary_have_the_heads(finished_run):
    results = finished_run.folder / "results"
    manifest = read_json(results / "embeddings/both/manifest.json")
    assert list(manifest["heads"]) == list(HEADS)
    for name, entry in manifest["heads"].items():
        record = read_json(results / f"heads/both/{name}.json")
        assert entry == {key: record[key] for key in ("rows", "width", "parts", "head", "digest")}
        assert entry["rows"] == manifest["layers"]["norm"]["rows"]
    assert str(finished_run.folder) not in json.dumps(manifest)
    shards = [str(path) for path in results.glob("bundles/both/*/shards/*.json")]
    (result,) = load_results([str(results / "embeddings/both/manifest.json")], shards)
    lines = heads.summary_lines(result)
    assert lines == [
        "head features: 3 of 40 features from blocks.6.mlp.l3, 176 rows: "
        "results/heads/both/features/",
        "head genes: CDS, background from directions, 176 rows: results/heads/both/genes/",
    ]
    summary, page = ((results / name).read_text() for name in ("summary.txt", "report.html"))
    assert all(line in summary for line in lines)
    assert "<h2>Heads: both</h2>" in page
    assert "<h2>Heads: bins</h2>" not in page


def test_part_files_of_a_head_are_those_of_a_record(finished_run):
    path = finished_run.folder / "results/heads/both/genes.json"
    files = {file.path for file in recorded_files(path, read_json(path))}
    assert files == {*path.with_suffix("").glob("*.parquet")}
    assert len(files) == 2
    metadata = [json.loads(pq.read_metadata(file).metadata[b"evo2_embed"]) for file in files]
    assert {each["head"]["name"] for each in metadata} == {"genes"}


@pytest.fixture
def apply(finished_run, tmp_path, monkeypatch):
    """A function that applies a file as the head `genes` to the small bundle."""
    monkeypatch.chdir(finished_run.folder)
    run = load_frozen("results/run_config.yaml")

    def apply(head, layer="directions", bundle="fusions/directions", **settings):
        known = rule_params(run, "apply_bundle", "both", head="genes")["settings"]
        record = str(tmp_path / "genes.json")
        files = f"results/embeddings/both/{layer}.json", f"results/bundles/both/small/{bundle}.json"
        settings = {**known, "layer": layer, **settings}
        apply_bundle(files[0], [files[1]], settings, str(head), record, "none.json")
        return tmp_path / "parts" / "genes" / "part-00000.parquet"

    return apply


def test_the_same_rows_and_head_give_the_same_bytes(finished_run, apply):
    kept = finished_run.folder / "results/heads/both/genes/part-00001-small-00000.parquet"
    assert apply(PROBE).read_bytes() == kept.read_bytes()


def test_linear_heads_give_one_number_or_a_list(finished_run, apply, tmp_path):
    keys, vectors = vectors_of(finished_run, "norm")
    small = (keys["genome"].cast(pl.String) == "small").to_numpy()
    weight = np.random.default_rng(1).standard_normal((3, 128)).astype(np.float32)
    for outputs in (1, 3):
        arrays = {"weight": weight[:outputs], "bias": np.arange(outputs, dtype=np.float32)}
        save_file(arrays, tmp_path / "linear")
        table = pl.read_parquet(apply(tmp_path / "linear", "norm", "all"))
        wanted = vectors[small] @ weight[:outputs].T.astype(np.float64) + np.arange(outputs)
        found = table["number" if outputs == 1 else "numbers"].to_numpy().reshape(-1, outputs)
        np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-3 * np.abs(wanted).max())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"checkpoint_sha256": "0" * 64}, "made for checkpoint_sha256 '0000"),
        ({"model": "evo2_7b"}, "made for model 'evo2_7b', and applied to 'evo2_tiny'"),
        ({"layer": "norm"}, "made for layer 'norm', and applied to 'directions'"),
        ({"parameters": "1" * 64}, "made for parameters '1111"),
    ],
)
def test_a_job_refuses_a_head_of_another_layer_model_or_fusion(apply, tmp_path, changes, said):
    with safe_open(PROBE, "np") as file:
        metadata = file.metadata()
    save_file(load_file(PROBE), tmp_path / "other", {**metadata, **changes})
    with pytest.raises(InputError, match=said):
        apply(tmp_path / "other")


def test_another_pooling_is_a_warning_only(apply, tmp_path, caplog):
    with safe_open(PROBE, "np") as file:
        metadata = file.metadata()
    save_file(load_file(PROBE), tmp_path / "other", {**metadata, "pooling": '"max"'})
    apply(tmp_path / "other")
    assert 'made with pooling "max", applied with "mean"' in caplog.text


def test_a_new_head_runs_no_embedding(finished_run, changed_run):
    shutil.copy(finished_run.folder / PROBE, changed_run.folder / "given.safetensors")
    given = {"layer": "directions", "file": "given.safetensors"}
    both = {**EXTRACTIONS["both"], "heads": {**HEADS, "again": given}}
    configure(changed_run, extractions={**EXTRACTIONS, "both": both})
    planned = changed_run.planned("results/embeddings/both/manifest.json")
    assert planned == {"apply_bundle": 2, "apply_heads": 1, "write_manifest": 1}


def test_verify_names_damaged_probes_rows_and_tracks(changed_run, monkeypatch):
    monkeypatch.chdir(changed_run.folder)
    run, results = load_frozen("results/run_config.yaml"), Path("results")
    files = [
        Path(PROBE),
        results / "heads/both/features/part-00001-small-00000.parquet",
        results / "export/bigwig/both/genes/large/CDS.minus.bw",
    ]
    for path in files:
        content = bytearray(path.read_bytes())
        content[-20] ^= 1
        path.write_bytes(content)
    faults = verify_run(run, results, Path("benchmarks")).faults
    assert sorted(line.split(":")[0] for line in faults) == sorted(map(str, files))


def test_without_heads_the_same_files_are_made(finished_run):
    with contextlib.chdir(finished_run.folder):
        run = load_frozen("results/run_config.yaml")
    assert "heads" not in run.embed_settings("both")["extraction"]
