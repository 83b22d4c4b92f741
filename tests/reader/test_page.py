"""The code of docs/reader.md runs as it stands, and gives what the page says."""

import re
from importlib.util import find_spec

import numpy as np
import pytest
from evo2_embed.io.errors import InputError
from made import WIDTH, vectors_of, write, write_variants
from runs import ROOT
from scipy.cluster.hierarchy import linkage

PAGE = (ROOT / "docs" / "reader.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S)
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
def ran(tmp_path_factory):
    """What the names of the page stand for after all its code has run."""
    folder = tmp_path_factory.mktemp("page")
    for kind in ("embeddings/default", "embeddings/bases", "variants/default"):
        (folder / "results" / kind).mkdir(parents=True)
    results = folder / "results"
    write(results / "embeddings/default", "blocks.26", VALUES, ROWS, GENOMES)
    base_values = vectors_of(len(BASES), 2)
    write(results / "embeddings/bases", "blocks.26", base_values, BASES, ["genome1"] * len(BASES))
    write_variants(results / "variants/default", "blocks.26", VARIANTS, vectors_of(4, 3))
    names = {"folder": folder}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for block in BLOCKS:
            if "anndata" in block and find_spec("anndata") is None:
                # tests/export has the package.
                with pytest.raises(InputError, match="pip install anndata"):
                    exec(block, names)
            else:
                exec(block, names)
    return names


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
