"""Fusions in a real run: what they leave, and what a new one reruns."""

import contextlib
import json
import shutil

import numpy as np
import polars as pl
import pytest
import show_plan
from everything import EXTRACTIONS, FUSIONS, HEADS, LAYERS, configure
from evo2_embed.analysis.fusion.fit import fit_layers
from evo2_embed.analysis.fusion.writing import fuse_bundle
from evo2_embed.report.summary import load_results, render_summary
from evo2_embed.run.frozen import load_frozen
from evo2_embed.run.params import rule_params
from layer_files import same_parameters

MANIFEST = "results/embeddings/both/manifest.json"
PARAMETERS = "results/fusions/both/directions.npz"


def rows_of(flow, name):
    return pl.read_parquet(flow.folder / "results/embeddings/both" / name / "*.parquet")


def test_fused_datasets_have_the_columns_of_a_layer_s(finished_run):
    norm, blocks = (rows_of(finished_run, layer) for layer in ("norm", LAYERS[0]))
    directions, strands = (rows_of(finished_run, name) for name in FUSIONS)
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


def test_the_manifest_and_the_summary_have_the_fusions(finished_run):
    results = finished_run.folder / "results"
    manifest = json.loads((results / "embeddings/both/manifest.json").read_text())
    assert list(manifest["fusions"]) == list(FUSIONS)
    assert manifest["fusions"]["directions"]["layers"] == LAYERS
    assert manifest["fusions"]["directions"]["width"] == 3
    strands = manifest["fusions"]["strands"]
    assert strands["rows"] * 2 == manifest["layers"]["norm"]["rows"]
    assert strands["fusion"]["strands"] == "mean"
    known = [
        *manifest["layers"].values(),
        *manifest["fusions"].values(),
        manifest["scores"],
    ]
    assert manifest["rows"] == sum(entry["rows"] for entry in known)
    shards = [str(path) for path in results.glob("bundles/both/*/shards/*.json")]
    (result,) = load_results([str(finished_run.folder / MANIFEST)], shards)
    assert sorted(each["shard"] for each in result.shards) == [
        *("large/00000", "large/00001", "small/00000")
    ]
    assert list(result.datasets) == [*LAYERS, *FUSIONS]
    assert "  2 + 2  " in render_summary([result], [])
    assert str(finished_run.folder) not in json.dumps(manifest)


def test_the_plan_has_the_fusions_and_heads(finished_run):
    with contextlib.chdir(finished_run.folder):
        plan = json.loads(show_plan.main("config/config.yaml", ".", True))
    assert plan["jobs"]["fit_fusion"] == plan["jobs"]["fuse_layers"] == 2
    assert plan["jobs"]["apply_bundle"] == 2 * plan["jobs"]["apply_heads"] == 2 * len(HEADS)
    for layer in plan["layers"]:
        kind = "heads" if layer["layer"] in HEADS else "embeddings"
        path = finished_run.folder / "results" / kind / layer["extraction"] / layer["layer"]
        record = json.loads(path.with_name(f"{path.name}.json").read_text())
        # Scores have no vector; the plan counts their two numbers.
        assert (layer["rows"], layer["width"]) == (record["rows"], record.get("width", 2))
        size = sum(file.stat().st_size for file in path.glob("*.parquet"))
        assert layer["dataset_bytes"] == pytest.approx(size, rel=0.25)


def test_a_new_fusion_runs_no_embedding_and_may_take_parameters(finished_run, changed_run):
    given = changed_run.folder / "given.npz"
    shutil.copy(finished_run.folder / PARAMETERS, given)
    applied = {**FUSIONS["directions"], "parameters": "given.npz"}
    both = {**EXTRACTIONS["both"], "fusion": {**FUSIONS, "applied": applied}}
    configure(changed_run, extractions={**EXTRACTIONS, "both": both})
    planned = changed_run.planned(MANIFEST)
    assert planned == {"fit_fusion": 1, "fuse_bundle": 2, "fuse_layers": 1, "write_manifest": 1}
    changed_run.run("results/embeddings/both/applied.json")
    assert rows_of(changed_run, "applied").equals(rows_of(finished_run, "directions"))
    taken = changed_run.folder / "results/fusions/both/applied.npz"
    same_parameters(taken, given)


def test_the_same_layers_give_the_same_bytes(finished_run, tmp_path, monkeypatch):
    monkeypatch.chdir(finished_run.folder)
    records = [f"results/embeddings/both/{layer}.json" for layer in LAYERS]
    parameters, record = tmp_path / "directions.npz", tmp_path / "directions.json"
    bundles = ["results/bundles/both/small/all.json"]
    run = load_frozen("results/run_config.yaml")
    settings = rule_params(run, "fit_fusion", "both", "directions")["settings"]
    fit_layers(records, settings, str(parameters), None)
    settings = rule_params(run, "fuse_bundle", "both", "directions")["settings"]
    fuse_bundle(records, bundles, settings, str(parameters), str(record), "none.json")
    assert parameters.read_bytes() == (finished_run.folder / PARAMETERS).read_bytes()
    (part,) = (tmp_path / "parts" / "directions").iterdir()
    kept = finished_run.folder / "results/embeddings/both/directions"
    assert part.read_bytes() == (kept / "part-00001-small-00000.parquet").read_bytes()
    of_bundle = finished_run.folder / "results/bundles/both/small/fusions/directions.json"
    assert record.read_bytes() == of_bundle.read_bytes()
