"""The Python code of README.md, docs/reader.md and other pages runs, and gives what they say."""

import re
from importlib.util import find_spec

import numpy as np
import polars as pl
import pytest
import torch
from doc_blocks import blocks_in
from evo2_embed.analysis.heads.files import HeadFile
from evo2_embed.io.errors import InputError
from made import WIDTH, vectors_of, write, write_variants
from runs import ROOT
from scipy.cluster.hierarchy import linkage

PAGE = (ROOT / "docs" / "reader.md").read_text()
GENES = ["dnaA", "gyrB", "recF", "rpoB"]
# Twenty genomes with four genes and two windows each, on both strands.
ROWS = [
    (f"chr{genome}", 100 * i, 100 * i + 90, strand, name)
    for genome in range(20)
    for i, name in enumerate([*GENES, None, None])
    for strand in "+-"
]
GENOMES = [f"genome{row[0][3:]}" for row in ROWS]
VALUES = vectors_of(len(ROWS), 1)
BASES = [("chr1", i, i + 1, strand, None) for i in range(900, 1300) for strand in "+-"]
VARIANTS = [
    ("rs334", "chr1", 1001, "A", "T"),
    ("rs11", "chr1", 1201, "C", "T"),
    ("rs7412", "chr2", 1301, "C", "T"),
    (None, "chr1", 1501, "A", "G"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with the datasets that the pages name."""
    folder = tmp_path_factory.mktemp("page")
    for kind in ("embeddings/default", "embeddings/bases", "variants/default"):
        (folder / "results" / kind).mkdir(parents=True)
    results = folder / "results"
    write(results / "embeddings/default", "blocks.26", VALUES, ROWS, GENOMES)
    base_values = vectors_of(len(BASES), 2)
    write(results / "embeddings/bases", "blocks.26", base_values, BASES, ["genome1"] * len(BASES))
    write_variants(results / "variants/default", "blocks.26", VARIANTS, vectors_of(4, 3))
    return folder


def run_page(page, folder):
    """What the names of a page stand for after all its Python code has run in a folder."""
    names = {"folder": folder}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for block in blocks_in("python", page):
            if "anndata" in block.text and find_spec("anndata") is None:
                # tests/export has the package.
                with pytest.raises(InputError, match="pip install anndata"):
                    exec(block.text, names)
            else:
                exec(block.text, names)
    return names


@pytest.fixture(scope="module")
def ran(folder):
    """What the names of docs/reader.md stand for."""
    return run_page("docs/reader.md", folder)


def test_genes_by_name(ran):
    mine = [i for i, row in enumerate(ROWS) if row[4] in GENES[:3]]
    assert (ran["genes"]["embedding"].to_numpy() == VALUES[mine]).all()


def test_both_strands_of_a_region_base_by_base(ran):
    plus, minus = ran["plus"], ran["minus"]
    assert plus["start"].to_list() == minus["start"].to_list() == list(range(1000, 1100))
    assert set(plus["strand"]) == {"+"}
    assert set(minus["strand"]) == {"-"}
    mine = [i for i, row in enumerate(BASES) if 1000 <= row[1] < 1100 and row[3] == "-"]
    assert (minus["embedding"].to_numpy() == vectors_of(len(BASES), 2)[mine]).all()


def test_three_variants(ran):
    assert ran["effects"]["position"].to_list() == [1001, 1301, 1501]
    assert (ran["effects"]["delta"].to_numpy() == vectors_of(4, 3)[[0, 2, 3]]).all()


def test_neighbours_of_a_gene(ran):
    mine = [i for i, row in enumerate(ROWS) if row[4] == "dnaA"]
    exact = VALUES.astype(np.float64) - VALUES.mean(axis=0, dtype=np.float64)
    query = exact[mine].mean(axis=0)
    cosine = exact @ query / np.linalg.norm(exact, axis=1)
    named = [i for i, row in enumerate(ROWS) if row[4] not in ("dnaA", None)]
    assert ran["near"]["row"].to_list() == sorted(named, key=lambda row: -cosine[row])[:10]


def test_a_tree_of_genomes(ran):
    means = VALUES.astype(np.float64).reshape(20, -1, WIDTH).mean(axis=1)  # windows of one length
    tree = linkage(means - VALUES.mean(axis=0, dtype=np.float64), "average", metric="cosine")
    np.testing.assert_allclose(ran["tree"], tree, rtol=1e-4)


def test_vectors_in_files_and_tensors(ran):
    assert len(ran["loader"].dataset) == len(ROWS)
    assert (ran["vectors"].numpy() == VALUES[ran["rows"]]).all()
    stored = np.load(ran["folder"] / "vectors.npy")
    assert (stored == VALUES.astype(np.float16)).all()


def test_each_of_the_tasks_takes_three_lines_at_most():
    tasks = PAGE.split("## Five tasks")[1].split("\n## ")[0]
    blocks = re.findall(r"^```python\n(.*?)^```", tasks, re.M | re.S)
    assert len(blocks) == 5
    for block in blocks:
        lines = [line for line in block.splitlines() if line and not re.match("import|from", line)]
        assert len(lines) <= 3


def test_the_recipes_of_the_readme(folder):
    names = run_page("README.md", folder)
    mine = [i for i, row in enumerate(ROWS) if row[4] in ("dnaA", "gyrB")]
    assert (names["genes"] == VALUES[mine]).all()
    assert names["bases"]["start"].to_list() == list(range(1000, 1100))
    assert names["effects"]["position"].to_list() == [1001]
    assert len(names["near"]) == 10
    assert names["tree"].shape == (19, 4)


def test_the_variants_of_their_page(folder):
    sorted_rows = run_page("docs/variants.md", folder)["variants"]
    assert len(sorted_rows) == len(VARIANTS)


@pytest.fixture
def run_on_a_run(finished_run, tmp_path, monkeypatch):
    """A function that runs the code of a page on the results of a finished run."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results").symlink_to(finished_run.folder / "results")

    def run_on_a_run(page):
        names = {}
        for block in blocks_in("python", page):
            exec(block.text.replace("default", "both").replace("blocks.26/", "norm/"), names)
        return names

    return run_on_a_run


def test_the_dataset_of_its_page(run_on_a_run):
    names = run_on_a_run("docs/dataset.md")
    assert names["vectors"].shape == (len(names["rows"]), 128)


def test_the_scores_of_their_page(run_on_a_run):
    bits = run_on_a_run("docs/scores.md")["bits"]
    assert bits["bits"].drop_nulls().is_between(1, 9).all()


def test_the_heads_of_their_page(run_on_a_run):
    state = {"_orig_mod.W": torch.randn(4096, 40), "_orig_mod.b_enc": torch.zeros(40)}
    torch.save(state, "autoencoder.pt")
    names = run_on_a_run("docs/heads.md")
    probable = pl.read_parquet("results/heads/both/genes/*.parquet")["p_CDS"]
    assert (names["ds"].scan().collect()["p_CDS"] == probable).all()
    head = HeadFile.open("encoder.safetensors")
    assert (head.outputs, head.width) == (40, 4096)
