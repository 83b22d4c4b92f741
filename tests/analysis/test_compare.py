"""The comparison of layers without labels: its measures and its shuffled windows."""

import numpy as np
import pyarrow.parquet as pq
import pytest
from evo2_embed.analysis.compare import measures
from evo2_embed.analysis.compare.control import pack_shuffled
from evo2_embed.analysis.compare.layers import describe
from evo2_embed.chunk.chunk_table import chunk_bundle
from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.settings.jobs import Packing
from evo2_embed.settings.windows import VariantSettings, Windows
from runs import random_bases, write_fasta
from sklearn.decomposition import PCA
from variant_files import vcf_of

RNG = np.random.default_rng(0)


def test_effective_rank_counts_equally_used_directions():
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


def test_cka_is_one_up_to_rotation_and_scale_and_zero_for_noise():
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
def test_a_layer_is_marked_if_its_rows_are_similar_even_to_shuffled_sequence(apart):
    common = np.full(16, 30.0)
    values = common + RNG.normal(size=(40, 16))
    shuffled = (-common if apart else common) + RNG.normal(size=(10, 16))
    described = describe(values, measures.gram(values), shuffled)
    assert described["cosine"] > 0.95
    assert described["alike"] == (not apart)
    assert not describe(values - common, measures.gram(values), shuffled)["alike"]


@pytest.fixture
def bundles(tmp_path):
    """Two bundles of one genome each, on both strands: chunk tables and genomes; and the bases."""
    found, bases = [], {}
    for number, name in enumerate(("one", "two")):
        bases[name] = random_bases(1500, number)
        genome = Genome(name, write_fasta(tmp_path / f"{name}.fa", [("c", bases[name])]))
        table = str(tmp_path / f"{name}.parquet")
        windows = Windows(size=200, stride=200, strands="both").to_dict()
        chunk_bundle([genome], windows, str(tmp_path / "indexes"), table, 1)
        found.append((table, [genome]))
    return found, bases


def test_the_control_is_real_windows_with_shuffled_bases(bundles, tmp_path):
    packing = Packing(max_tokens=1000, piece=1000, bos=True).to_dict()
    settings, output = {"packing": packing, "code": 1}, str(tmp_path / "packs" / "packs.parquet")
    (tmp_path / "packs").mkdir()
    metadata = pack_shuffled(bundles[0], 5, settings, str(tmp_path / "indexes"), output)
    assert metadata.n_chunks == 6  # three of each bundle
    found = []
    table = pq.read_table(output).to_pylist()
    for pack in table:
        for number, strand in enumerate(pack["strand"]):
            first, last = pack["cu_seqlens"][number : number + 2]
            tokens = pack["tokens"][first:last]
            assert tokens[0] == 0
            span = slice(pack["start"][number], pack["end"][number])
            bases = bundles[1][pack["genome"][number]][span]
            if strand == "-":
                bases = bases.translate(str.maketrans("ACGT", "TGCA"))
            assert sorted(tokens[1:].decode()) == sorted(bases)
            assert tokens[1:].decode() not in (bases, bases[::-1])
            found.append(pack["chunk"][number])
    assert sorted(found) == list(range(6))
    assert {pack["genome"][0] for pack in table} == {"one", "two"}
    assert {strand for pack in table for strand in pack["strand"]} == {"+", "-"}


def test_the_control_of_variants_has_windows_of_the_reference_only(tmp_path):
    bases, packs = random_bases(1500, 3), tmp_path / "packs.parquet"
    changes = [(400, 1, "ACGTACGT"), (500, 9, "G"), (700, 1, "AA")]
    records = [("c", at, ".", bases[at - 1 : at - 1 + n], new) for at, n, new in changes]
    (tmp_path / "v.vcf").write_text(vcf_of(records))
    fasta = write_fasta(tmp_path / "g.fa", [("c", bases)])
    genome = Genome("g", fasta, variants=str(tmp_path / "v.vcf"))
    section = VariantSettings(size=200, downstream=100).to_dict()
    chunks, indexes = str(tmp_path / "chunks.parquet"), str(tmp_path / "indexes")
    windows = Windows(strands="both").to_dict()
    chunk_bundle([genome], windows, indexes, chunks, 1, variants=section)
    settings = {"packing": Packing(max_tokens=1000, piece=1000).to_dict(), "code": 1}
    assert pack_shuffled([(chunks, [genome])], 100, settings, indexes, str(packs)).n_chunks == 6
    for pack in pq.read_table(packs).to_pylist():
        assert not {"variant", "parent"} & pack.keys()
        ends = pack["cu_seqlens"]
        for i, strand in enumerate(pack["strand"]):
            window = bases[pack["start"][i] : pack["end"][i]]
            if strand == "-":
                window = window.translate(str.maketrans("ACGT", "TGCA"))
            tokens = pack["tokens"][ends[i] : ends[i + 1]]
            assert sorted(tokens.decode()) == sorted(window)
