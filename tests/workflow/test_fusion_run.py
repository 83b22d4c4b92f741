"""Fusions in a real run: what they leave, and what a new one reruns."""

import contextlib
import json
import shutil

import numpy as np
import polars as pl
import pytest
import show_plan
from evo2_embed.report.summary import load_results, render_summary
from runs import Workflow, random_bases, write_fasta

MANIFEST = "results/embeddings/default/manifest.json"
LAYERS = ["blocks.2", "norm"]
FUSIONS = {
    "directions": {"method": {"pca": 3}},
    "strands": {"method": "mean", "layers": ["norm"], "strands": "mean"},
}


def configure(flow, fusions):
    flow.configure(
        windows={"size": 200, "strands": "both"},
        extractions={"default": {"layers": LAYERS, "fusion": fusions}},
    )


def rows_of(flow, name):
    return pl.read_parquet(flow.folder / "results/embeddings/default" / name / "*.parquet")


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run of two genomes with two fusions, without the report."""
    flow = Workflow(tmp_path_factory.mktemp("fusion") / "flow")
    for name, length in (("a", 1500), ("b", 950)):
        write_fasta(flow.folder / f"{name}.fa", [("chr", random_bases(length, length))])
    flow.sheet({"a": "a.fa", "b": "b.fa"})
    configure(flow, FUSIONS)
    flow.run(MANIFEST)
    return flow


def test_fused_datasets_have_the_columns_of_a_layer_s(finished):
    norm, blocks = (rows_of(finished, layer) for layer in ("norm", "blocks.2"))
    directions, strands = (rows_of(finished, name) for name in FUSIONS)
    for table in (directions, strands):
        assert table.columns == norm.columns
    assert directions.drop("embedding").equals(norm.drop("embedding"))
    values = np.hstack([table["embedding"].to_numpy() for table in (blocks, norm)])
    values = values.astype(np.float64)[:, values.std(axis=0) > 0]
    values = (values - values.mean(axis=0)) / values.std(axis=0)
    lengths = np.linalg.svd(values, compute_uv=False)
    found = np.sqrt((directions["embedding"].to_numpy() ** 2).sum(axis=0))
    np.testing.assert_allclose(found, lengths[:3], rtol=1e-4)
    plus, minus = (norm.filter(pl.col("strand") == strand) for strand in "+-")
    assert strands.drop("embedding").equals(plus.drop("embedding"))
    mean = (plus["embedding"].to_numpy() + minus["embedding"].to_numpy()) / 2
    np.testing.assert_allclose(strands["embedding"].to_numpy(), mean, atol=1e-6)


def test_the_manifest_and_the_summary_have_them(finished):
    results = finished.folder / "results"
    manifest = json.loads((results / "embeddings/default/manifest.json").read_text())
    assert list(manifest["fusions"]) == list(FUSIONS)
    assert manifest["fusions"]["directions"]["layers"] == LAYERS
    assert manifest["fusions"]["directions"]["width"] == 3
    strands = manifest["fusions"]["strands"]
    assert strands["rows"] * 2 == manifest["layers"]["norm"]["rows"]
    assert strands["fusion"]["strands"] == "mean"
    known = [*manifest["layers"].values(), *manifest["fusions"].values()]
    assert manifest["rows"] == sum(entry["rows"] for entry in known)
    speeds = [str(path) for path in results.glob("shards/*/*/*/speed.json")]
    (result,) = load_results([str(finished.folder / MANIFEST)], speeds)
    assert list(result.datasets) == [*LAYERS, *FUSIONS]
    assert "2 + 2 fused" in render_summary([result])
    assert str(finished.folder) not in json.dumps(manifest)


def test_they_were_in_the_plan(finished):
    with contextlib.chdir(finished.folder):
        plan = json.loads(show_plan.main("config/config.yaml", ".", True))
    assert plan["jobs"]["fit_fusion"] == plan["jobs"]["fuse_layers"] == 2
    for layer in plan["layers"]:
        path = finished.folder / "results/embeddings/default" / layer["layer"]
        record = json.loads(path.with_name(f"{path.name}.json").read_text())
        assert (layer["rows"], layer["width"]) == (record["rows"], record["width"])
        size = sum(file.stat().st_size for file in path.glob("*.parquet"))
        assert layer["dataset_bytes"] == pytest.approx(size, rel=0.25)


def test_a_second_run_does_nothing(finished):
    assert not finished.planned(MANIFEST)


def test_a_new_fusion_runs_no_embedding_and_may_take_parameters(finished, tmp_path):
    flow = finished.copy_to(tmp_path / "flow")
    results = flow.folder / "results"
    parameters = results / "fusions/default/directions.npz"
    shutil.copy(parameters, flow.folder / "given.npz")
    applied = {**FUSIONS["directions"], "parameters": "given.npz"}
    configure(flow, {**FUSIONS, "applied": applied})
    assert set(flow.planned(MANIFEST)) == {"fit_fusion", "fuse_layers", "write_manifest"}
    # One that is lost is made again, and is the same.
    shutil.rmtree(results / "embeddings/default/directions")
    for path in (parameters, results / "embeddings/default/directions.json"):
        path.unlink()
    flow.run(*(f"results/embeddings/default/{name}.json" for name in ("directions", "applied")))
    pattern = "*/default/directions*/**/*"
    assert flow.files(pattern) == finished.files(pattern)
    assert rows_of(flow, "applied").equals(rows_of(flow, "directions"))
    taken = (results / "fusions/default/applied.npz").read_bytes()
    assert taken == (flow.folder / "given.npz").read_bytes() == parameters.read_bytes()
