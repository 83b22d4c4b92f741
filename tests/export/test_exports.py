"""The files of `export`, opened by the programs that they are for."""

import json
import re
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import anndata
import lancedb
import numpy as np
import pandas as pd
import polars as pl
import pytest
import scanpy
from evo2_embed.analysis.projection import project
from evo2_embed.dataset.dataset import Dataset
from evo2_embed.export import lance
from evo2_embed.export.lance import write_lance
from evo2_embed.io.integrity import JSON_KEY
from evo2_embed.plan.estimate import estimate_run
from evo2_embed.run.frozen import INDEXES, load_frozen
from evo2_embed.run.verify import verify_run
from layer_files import write_layer
from rule_headers import documented_keys, header
from runs import ROOT
from sklearn.neighbors import NearestNeighbors

DOCS = (ROOT / "docs" / "exports.md").read_text()
NAMES = ("norm", "three")
ANNDATA, ATLAS, LANCE = (f"results/export/{name}/default" for name in ("anndata", "atlas", "lance"))


def dataset(results, name):
    """All rows, by polars alone, and their vectors."""
    rows = pl.read_parquet(results / "embeddings" / "default" / name / "*.parquet")
    rows = rows.with_columns(pl.col("genome", "contig").cast(pl.String))
    return rows.drop("embedding"), rows["embedding"].to_numpy().astype(np.float32)


@pytest.mark.parametrize("name", NAMES)
def test_anndata_has_the_rows_of_the_dataset_and_the_columns_of_the_sheet(run, results, name):
    rows, vectors = dataset(results, name)
    adata = anndata.read_h5ad(run.folder / ANNDATA / f"{name}.h5ad")
    assert adata.X.dtype == np.float32
    np.testing.assert_array_equal(adata.X, vectors)
    assert adata.X.flags.writeable
    assert adata.obs_names.is_unique
    assert adata.obs["row"].tolist() == list(range(len(rows)))
    for column in rows.columns:
        values = rows[column].fill_null("") if rows[column].dtype == pl.String else rows[column]
        assert adata.obs[column].tolist() == values.to_list(), column
    first = adata.obs["genome"] == "a"
    assert set(adata.obs["host"][first]) == {"E. coli"}
    assert set(adata.obs["host"][~first]) == {""}
    assert set(adata.obs["growth_at_C"][first]) == {37}
    assert adata.obs["growth_at_C"][~first].isna().all()
    assert set(adata.obs["genome_name"]) == {"first", "second"}
    assert adata.uns["evo2_embed"]["dataset"] == name


def test_scanpy_takes_the_anndata_and_writes_it_again(run, tmp_path):
    path = run.folder / ANNDATA / "norm.h5ad"
    adata = anndata.read_h5ad(path)
    vectors = adata.X.copy()
    scanpy.pp.scale(adata)
    np.testing.assert_allclose(
        adata.X, (vectors - vectors.mean(0)) / vectors.std(0, ddof=1), rtol=1e-3, atol=1e-3
    )
    scanpy.pp.neighbors(adata, use_rep="X")
    scanpy.tl.umap(adata)
    assert adata.obsm["X_umap"].shape == (len(vectors), 2)
    adata.write_h5ad(tmp_path / "again.h5ad")
    again = anndata.read_h5ad(tmp_path / "again.h5ad")
    np.testing.assert_array_equal(again.X, adata.X)
    pd.testing.assert_frame_equal(again.obs, adata.obs)
    backed = anndata.read_h5ad(path, backed="r")
    np.testing.assert_array_equal(backed[5:9].X, vectors[5:9])


def test_lance_finds_the_nearest_rows(run, results):
    rows, vectors = dataset(results, "norm")
    tables = lancedb.connect(run.folder / LANCE)
    assert sorted(tables.list_tables().tables) == sorted(NAMES)
    table = tables.open_table("norm")
    found = pl.from_arrow(table.to_arrow()).sort("row")
    assert found["row"].to_list() == list(range(len(rows)))
    assert found.select(rows.columns).equals(rows)
    np.testing.assert_array_equal(found["embedding"].to_numpy().astype(np.float32), vectors)
    (further,) = found.filter(genome="a").select("host", "growth_at_C").unique().rows()
    assert further == ("E. coli", 37)
    query = vectors[7]
    order = np.argsort(((vectors - query) ** 2).sum(1), kind="stable")
    search = table.search(query).distance_type("l2").limit(5).to_arrow()
    assert search["row"].to_pylist() == order[:5].tolist()
    only = table.search(query).distance_type("l2").where("genome = 'b'").limit(2).to_arrow()
    assert only["row"].to_pylist() == [row for row in order if rows["genome"][int(row)] == "b"][:2]


def test_a_large_lance_table_has_an_index_that_finds_near_rows(results, tmp_path, monkeypatch):
    monkeypatch.setattr(lance, "INDEXED_ROWS", 600)
    vectors = np.random.default_rng(0).standard_normal((600, 32)).astype(np.float32)
    rows = [("a1", 10 * i, 10 * i + 9, "+", None) for i in range(600)]
    opened = Dataset.open(write_layer(tmp_path, "many", vectors, rows, genomes=["a"] * 600))
    write_lance(opened, str(results / "genomes.parquet"), str(tmp_path / "db" / "many.lance"))
    table = lancedb.connect(tmp_path / "db").open_table("many")
    (index,) = table.list_indices()
    assert (index.index_type, index.columns) == ("IvfPq", ["embedding"])
    # It orders by quantised vectors; with their exact distances, the nearest is the row itself.
    found = table.search(vectors[3]).distance_type("l2").refine_factor(20).limit(1).to_arrow()
    assert found["row"].to_pylist() == [3]


@pytest.mark.parametrize("name", NAMES)
def test_a_map_has_the_places_of_the_report_and_exact_neighbours(run, results, name):
    rows, vectors = dataset(results, name)
    found = pl.read_parquet(run.folder / ATLAS / f"{name}.parquet")
    assert found["row"].to_list() == list(range(len(rows)))
    assert found.select(rows.columns).equals(rows)
    x, y = project(vectors, umap=True).umap
    np.testing.assert_array_equal(found["x"].to_numpy(), x)
    np.testing.assert_array_equal(found["y"].to_numpy(), y)
    centred = vectors.astype(np.float64) - vectors.mean(0, dtype=np.float64)
    exact = NearestNeighbors(n_neighbors=16, metric="cosine").fit(centred)
    distances, _ = exact.kneighbors(centred)
    lists = found["neighbors"].struct.unnest()
    ids, mine = (np.array(lists[key].to_list()) for key in ("ids", "distances"))
    assert (ids != np.arange(len(rows))[:, None]).all()
    np.testing.assert_allclose(mine, distances[:, 1:], atol=1e-5)
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    np.testing.assert_allclose(1 - np.einsum("ij,ikj->ik", unit, unit[ids]), mine, atol=1e-5)


@pytest.fixture(scope="module")
def atlas(run):
    """The address of a running `embedding-atlas FILE`, started as the docs say."""
    (command,) = re.findall(r"^embedding-atlas (.*)$", DOCS, re.M)
    path = command.split()[0]
    assert path.replace("default/blocks.26", "default/norm") == f"{ATLAS}/norm.parquet"
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    arguments = [f"{ATLAS}/norm.parquet", *command.split()[1:], "--port", str(port)]
    process = subprocess.Popen(
        [sys.executable, "-m", "embedding_atlas.cli", *arguments],
        cwd=run.folder,
        stdout=subprocess.DEVNULL,
        stdin=subprocess.DEVNULL,
    )
    address = f"http://localhost:{port}"
    for _ in range(600):
        try:
            urllib.request.urlopen(address).close()
            break
        except urllib.error.URLError:
            assert process.poll() is None
            time.sleep(0.1)
    yield address
    process.terminate()
    process.wait()


def post(address, **body):
    with urllib.request.urlopen(address, data=json.dumps(body).encode()) as answer:
        return json.load(answer)


def test_embedding_atlas_draws_the_map_and_finds_neighbours(run, atlas):
    rows = pl.read_parquet(run.folder / ATLAS / "norm.parquet")
    with urllib.request.urlopen(f"{atlas}/data/metadata.json") as answer:
        data = json.load(answer)["props"]["data"]
    assert data == {
        "id": "__row_index__",
        "projection": {"x": "x", "y": "y"},
        "text": "text",
        "neighbors": "neighbors",
    }
    sql = "SELECT x, y, neighbors, host FROM dataset ORDER BY __row_index__"
    found = post(f"{atlas}/data/query", type="json", sql=sql)
    assert [row["neighbors"]["ids"] for row in found] == rows["neighbors"].struct["ids"].to_list()
    assert [row["host"] for row in found] == rows["host"].to_list()
    np.testing.assert_allclose([row["x"] for row in found], rows["x"], rtol=1e-4)


def test_embedding_atlas_searches_and_selects(atlas):
    sql = "SELECT name FROM dataset WHERE text LIKE '%dnaA%'"
    assert post(f"{atlas}/data/query", type="json", sql=sql) == [{"name": "dnaA"}] * 2
    chosen = post(f"{atlas}/data/selection", predicate="contig = 'a|2'", format="json")
    assert {row["contig"] for row in chosen} == {"a|2"}
    assert len(chosen) == 2 * 5


def test_headers_name_the_keys_and_columns_of_the_exports(run, results):
    keys = documented_keys(ROOT / "workflow" / "rules" / "export.smk")
    text = " ".join(header(ROOT / "workflow" / "rules" / "export.smk").split())
    for path, (names, entries) in keys.items():
        value = json.loads(
            (results / path.format(extraction="default", dataset="norm")).read_text()
        )
        assert sorted(value) == sorted([*names, JSON_KEY])
        assert all(sorted(entry) == sorted(entries["exported"]) for entry in value["exported"])
    further = {"host", "growth_at_C", "genome_name"}
    obs = anndata.read_h5ad(run.folder / ANNDATA / "norm.h5ad", backed="r").obs
    atlas = pl.read_parquet(run.folder / ATLAS / "norm.parquet")
    table = lancedb.connect(run.folder / LANCE).open_table("norm")
    of_obs, of_atlas, of_lance = (
        ", ".join(name for name in names if name not in further)
        for names in (obs.columns, atlas.columns, table.schema.names)
    )
    assert f"obs: {of_obs}, and" in text
    assert f"columns: {of_atlas} (ids, distances);" in text
    assert f"columns: {of_lance};" in text


def test_a_finished_run_has_nothing_to_do_until_an_export_is_lost(run):
    assert run.planned() == {}
    (run.folder / ANNDATA / "norm.h5ad").rename(run.folder / "kept.h5ad")
    assert run.planned() == {"all": 1, "export_anndata": 1}
    (run.folder / "kept.h5ad").rename(run.folder / ANNDATA / "norm.h5ad")
    assert run.planned() == {}


def test_verify_reads_the_exports(run, results):
    frozen, benchmarks = load_frozen(results / "run_config.yaml"), run.folder / "benchmarks"
    assert verify_run(frozen, results, benchmarks).faults == []
    (path,) = (run.folder / LANCE / "norm.lance" / "data").iterdir()
    good = path.read_bytes()
    path.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    (fault,) = verify_run(frozen, results, benchmarks).faults
    assert fault.endswith(f"delete {results}/export/lance/default/norm.json and rerun to redo it")
    path.write_bytes(good)


def test_the_plan_knows_the_sizes_of_exports(run, results, monkeypatch):
    monkeypatch.chdir(run.folder)
    frozen = load_frozen("results/run_config.yaml")
    estimate = estimate_run(frozen.settings, frozen.bundles, INDEXES)
    files = [path for path in (results / "export").rglob("*") if path.is_file()]
    real = sum(path.stat().st_size for path in files if path.suffix != ".json")
    assert estimate.export_bytes == pytest.approx(real, rel=0.2)
    assert estimate.jobs["export_lance"] == len(NAMES)
