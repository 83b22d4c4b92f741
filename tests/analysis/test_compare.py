"""The comparison of layers without labels: its measures, its shuffled windows, a real run."""

import json
import re

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
from evo2_embed.analysis.compare import measures
from evo2_embed.analysis.compare.layers import describe
from runs import Workflow, random_bases, write_fasta
from sklearn.decomposition import PCA

RNG = np.random.default_rng(0)


def test_effective_rank_counts_directions_used_alike():
    for rank in (1, 3, 8):
        values = np.linalg.qr(RNG.normal(size=(60, rank)))[0] @ np.eye(rank, 20)
        singular = measures.spectrum(measures.gram(values - values.mean(axis=0)))
        assert measures.effective_rank(singular) == pytest.approx(rank, rel=0.02)
    assert measures.effective_rank(measures.spectrum(measures.gram(np.ones((5, 4))))) == 0


def test_variance_shares_are_those_of_pca():
    values = RNG.normal(size=(80, 12)) * np.arange(1, 13)
    singular = measures.spectrum(measures.gram(values))
    wanted = PCA().fit(values).explained_variance_ratio_
    for number in (1, 3, 12):
        found = measures.variance_share(singular, number)
        assert found == pytest.approx(wanted[:number].sum(), rel=1e-4)


def test_cosines_are_those_of_every_pair():
    values, others = RNG.normal(size=(7, 5)), RNG.normal(size=(4, 5))

    def cosine(a, b):
        return a @ b / np.linalg.norm(a) / np.linalg.norm(b)

    pairs = [cosine(values[i], values[j]) for i in range(7) for j in range(i + 1, 7)]
    assert np.allclose(measures.pair_cosines(values), pairs)
    across = np.mean([cosine(a, b) for a in values for b in others])
    assert measures.mean_cosine_to(values, others) == pytest.approx(across)


def test_cka_sees_rotation_and_scale_as_the_same_and_noise_as_nothing():
    values = RNG.normal(size=(300, 6))
    turned = 7 * values @ np.linalg.qr(RNG.normal(size=(6, 6)))[0] + 3
    # Far wider than there are rows: the biased CKA of such noise is near 1.
    noise = RNG.normal(size=(300, 2000))
    arrays = (values, turned, noise, RNG.normal(size=(300, 2000)), np.ones((300, 2)))
    similar = measures.cka([measures.gram(array) for array in arrays])
    assert similar[0, 1] == pytest.approx(1, abs=1e-4)
    assert np.diagonal(similar)[:4] == pytest.approx([1] * 4)
    assert np.abs(similar[[0, 0, 2], [2, 3, 3]]).max() < 0.05
    assert np.isnan(similar[4]).all()
    assert np.isnan(measures.cka([measures.gram(values[:3])])).all()


def test_hsic_is_the_mean_over_quadruples():
    one, two = (measures.gram(RNG.normal(size=(6, 2))).astype(np.float64) for _ in range(2))
    total, count = 0.0, 0
    for i, j, q, r in np.ndindex(6, 6, 6, 6):
        if len({i, j, q, r}) == 4:
            total += one[i, j] * (two[i, j] + two[q, r] - 2 * two[i, q])
            count += 1
    assert measures.hsic(one, two) == pytest.approx(total / count, rel=1e-4)


@pytest.mark.parametrize("apart", [False, True])
def test_a_layer_is_marked_if_shuffled_sequence_looks_like_any(apart):
    common = np.full(16, 30.0)
    values = common + RNG.normal(size=(40, 16))
    shuffled = (-common if apart else common) + RNG.normal(size=(10, 16))
    described = describe(values, measures.gram(values), shuffled)
    assert described["cosine"] > 0.95
    assert described["alike"] == (not apart)
    assert not describe(values - common, measures.gram(values), shuffled)["alike"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("compare")
    flow = Workflow(folder / "flow")
    genomes = {name: random_bases(1500, seed) for seed, name in enumerate(("one", "two"))}
    flow.sheet(
        {name: write_fasta(folder / f"{name}.fa", [("c", s)]) for name, s in genomes.items()}
    )
    flow.configure(
        windows={"strands": "both"},
        packing={"bos": True},
        sharding={"shards": 1},
        compare={"rows": 12, "control": 5},
        extractions={"default": {"layers": [{"every": 4}, "norm"]}},
    )
    flow.genomes = genomes
    flow.run()
    return flow


def test_the_control_is_real_windows_with_their_bases_shuffled(finished):
    table = pq.read_table(finished.folder / "results/controls/packs.parquet").to_pylist()
    found = []
    for pack in table:
        for number, strand in enumerate(pack["strand"]):
            first, last = pack["cu_seqlens"][number : number + 2]
            tokens = pack["tokens"][first:last]
            assert tokens[0] == 0
            bases = finished.genomes[pack["genome"][number]][
                pack["start"][number] : pack["end"][number]
            ]
            if strand == "-":
                bases = bases.translate(str.maketrans("ACGT", "TGCA"))
            assert sorted(tokens[1:].decode()) == sorted(bases)
            assert tokens[1:].decode() not in (bases, bases[::-1])
            found.append(pack["chunk"][number])
    assert sorted(found) == list(range(6))  # three of each bundle
    assert {pack["genome"][0] for pack in table} == {"one", "two"}


def test_a_run_compares_all_layers_and_the_report_shows_them(finished):
    results = finished.folder / "results"
    compared = json.loads((results / "comparisons/default.json").read_text())
    layers = ["blocks.3", "blocks.7", "norm"]
    assert list(compared["layers"]) == layers == list(compared["cka"])
    assert compared["rows"] == 12
    assert compared["shuffled_windows"] == 6
    for layer in layers:
        assert compared["cka"][layer][layer] == pytest.approx(1, abs=1e-4)
        assert -1 <= compared["layers"][layer]["cosine_to_shuffled"] <= 1
        assert 1 <= compared["layers"][layer]["effective_rank"] <= 12
    page = (results / "report.html").read_text()
    assert "Layers: default" in page
    assert all(f"<td>{layer}</td>" in page for layer in layers)
    text = re.search(r'<script type="application/json">(.*?)</script>', page)[1]
    data = json.loads(text)
    assert list(data["datasets"]) == layers
    (keys,) = data["keys"]
    rows = pl.read_parquet(results / "embeddings/default/norm/*.parquet")
    assert keys["start"] == rows["start"].to_list()
    assert keys["strand"] == rows["strand"].to_list()
    assert [keys["genomes"][number] for number in keys["genome"]] == rows["genome"].to_list()
    assert all(len(data["datasets"][layer]["pcs"][2]) == len(rows) for layer in layers)
    assert "Nothing to be done" in finished.run()


def test_an_edit_of_the_comparison_runs_nothing_else(finished):
    config = (finished.folder / "config/config.yaml").read_text()
    (finished.folder / "config/config.yaml").write_text(config.replace("rows: 12", "rows: 10"))
    planned = finished.planned()
    (finished.folder / "config/config.yaml").write_text(config)
    assert planned == {"compare_layers": 1, "write_report": 1, "all": 1}
