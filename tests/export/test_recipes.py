"""The examples of docs/exports.md, run as they stand on the layer of a finished run."""

import duckdb
import evo2_embed
import matplotlib
import numpy as np
import polars as pl
import pytest
from doc_blocks import BLOCKS, blocks_in

WIDTH = 128  # of the bundled model
EXAMPLES = [block for block in BLOCKS if block.page == "docs/exports.md"]


@pytest.fixture
def in_run(run, monkeypatch):
    """The folder of the run as working folder; figures are not shown."""
    monkeypatch.chdir(run.folder)
    matplotlib.use("Agg")


def example(language, word):
    """The example in a language that has a word, for this run."""
    (found,) = [b.text for b in EXAMPLES if b.language == language and word in b.text]
    return found.replace("blocks.26", "norm").replace("4096", str(WIDTH))


def run_python(word):
    """The variables of an example after it ran."""
    variables = {}
    exec(compile(example("python", word), word, "exec"), variables)
    return variables


def distances(run, row):
    """Euclidean distances of all rows to one, by numpy."""
    rows = pl.read_parquet(run.folder / "results/embeddings/default/norm/*.parquet")
    vectors = rows["embedding"].to_numpy().astype(np.float64)
    return rows, np.linalg.norm(vectors - vectors[row], axis=1)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("in_run")
def test_scanpy_draws_a_umap_of_the_anndata():
    adata = run_python("scanpy.tl.umap")["adata"]
    assert adata.obsm["X_umap"].shape == (adata.n_obs, 2)
    assert np.isfinite(adata.obsm["X_umap"]).all()


@pytest.mark.usefixtures("in_run")
def test_the_readme_makes_an_anndata():
    (block,) = [block for block in blocks_in("python", "README.md") if "anndata" in block.text]
    variables = {"ds": evo2_embed.open("results", "default", "norm")}
    exec(block.text, variables)
    assert variables["adata"].shape == (len(variables["ds"]), WIDTH)


@pytest.mark.usefixtures("in_run")
def test_lance_searches_with_a_vector_of_the_reader(run):
    rows, far = distances(run, 7)
    found = run_python("lancedb.connect")["found"]
    assert found["row"].to_pylist() == np.argsort(far, kind="stable")[:10].tolist()


@pytest.mark.usefixtures("in_run")
def test_duckdb_has_vectors_of_fixed_length(run):
    rows, far = distances(run, 0)
    view, query = example("sql", "CREATE VIEW").split(";\n\n")
    with duckdb.connect() as connection:
        connection.sql(view)
        found = connection.sql(query).pl()
        assert str(connection.table("windows").types[-1]) == f"FLOAT[{WIDTH}]"
    nearest = np.argsort(far, kind="stable")[:10]
    np.testing.assert_allclose(found["distance"], far[nearest], rtol=1e-3, atol=1e-3)
    assert found["start"].to_list() == rows["start"][nearest.tolist()].to_list()
    assert found["cosine"][0] == pytest.approx(1)


@pytest.mark.usefixtures("in_run")
def test_polars_and_pandas_read_the_dataset_with_the_columns_of_the_sheet(run):
    rows, _ = distances(run, 0)
    with_polars = run_python("pl.read_parquet")
    assert with_polars["vectors"].shape == (len(rows), WIDTH)
    hosts = with_polars["table"].group_by("genome").agg(pl.col("host").first()).sort("genome")
    assert hosts.rows() == [("a", "E. coli"), ("b", None)]
    windows = run_python("pd.read_parquet")["windows"]
    np.testing.assert_array_equal(np.stack(windows["embedding"]), with_polars["vectors"])
