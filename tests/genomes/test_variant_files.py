"""Files of variants: plain, bgzip, BCF; what is not one, or is cut off; a sample of the first."""

import gzip
import textwrap

import pysam
import pytest
from evo2_embed.genomes import variant_sample
from evo2_embed.genomes.variant_sample import sample_sites
from evo2_embed.genomes.variants import read_variants
from evo2_embed.io.errors import InputError
from runs import run_python
from variant_files import vcf_of

RECORDS = [("c1", 7 * i + 1, f"rs{i}", "A", "C,GT") for i in range(3000)]
RECORDS += [("c:2", 5, ".", "AC", "A"), ("c:2", 2, ".", "A", "<DEL>"), ("c1", 2, "x", "GG", "T")]


@pytest.fixture
def files(tmp_path):
    """The same records in all kinds of files."""
    plain = tmp_path / "v.vcf"
    plain.write_text(vcf_of(RECORDS))
    packed, bcf = tmp_path / "v.vcf.gz", tmp_path / "v.bcf"
    pysam.tabix_compress(str(plain), str(packed))
    with pysam.VariantFile(str(plain)) as source:
        for name in ("c1", "c:2"):
            if name not in source.header.contigs:
                source.header.contigs.add(name)
        with pysam.VariantFile(str(bcf), "wb", header=source.header) as target:
            for record in source:
                target.write(record)
    return {"plain": plain, "bgzip": packed, "bcf": bcf}


@pytest.mark.parametrize("kind", ["plain", "bgzip", "bcf"])
def test_all_kinds_of_files_have_the_same_variants_by_contig_in_order(files, kind):
    variants, counts = read_variants(str(files[kind]))
    found = {
        contig: list(
            zip(
                mine.position.tolist(),
                mine.ref.to_pylist(),
                mine.alt.to_pylist(),
                mine.id.to_pylist(),
                strict=True,
            )
        )
        for contig, mine in variants.items()
    }
    first = [(7 * i, "A", alt, f"rs{i}") for i in range(3000) for alt in ("C", "GT")]
    first.insert(2, (1, "GG", "T", "x"))
    assert found == {"c1": first, "c:2": [(4, "AC", "A", None)]}
    assert counts["records"] == 3003
    assert counts["variants"] == 6002
    assert counts["skipped: symbolic allele <DEL>"] == 1
    sites, factor = sample_sites(str(files[kind]))
    assert factor == 1
    for contig, mine in variants.items():
        assert sites[contig].position.tolist() == mine.position.tolist()
        assert sites[contig].ref_length.tolist() == mine.sites.ref_length.tolist()
        assert sites[contig].alt_length.tolist() == mine.sites.alt_length.tolist()


@pytest.mark.parametrize("kind", ["plain", "bgzip", "bcf"])
def test_the_first_bytes_stand_for_a_longer_file(files, kind, monkeypatch):
    monkeypatch.setattr(variant_sample, "MOST_TEXT", 30_000)
    monkeypatch.setattr(variant_sample, "_READ", 1000)
    variant_sample._sample.cache_clear()
    sites, factor = sample_sites(str(files[kind]))
    variant_sample._sample.cache_clear()
    assert 1 < factor < 5 or kind != "plain"
    assert factor * len(sites["c1"]) == pytest.approx(6001, rel=0.2)


def test_a_hundred_thousand_samples_take_little_memory(tmp_path):
    records = [("c1", place, ".", "A", "C") for place in range(1, 201)]
    (tmp_path / "few.vcf").write_text(vcf_of(records))
    (tmp_path / "many.vcf").write_text(vcf_of(records, [f"s{i}" for i in range(100_000)]))
    code = """
        import resource
        from evo2_embed.genomes.variants import read_variants
        peaks = []
        for name in ("few", "many"):
            assert len(read_variants(f"{name}.vcf")[0]["c1"]) == 200
            peaks.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
        print(peaks[1] - peaks[0])
    """
    grown = 1024 * int(run_python(textwrap.dedent(code), tmp_path))
    assert grown < (tmp_path / "many.vcf").stat().st_size / 2


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda data: data[: len(data) // 2], "the bgzip file is cut off"),
        (lambda data: data[:-28], "the bgzip file is cut off"),
        (lambda data: data[:200] + b"\0" * 50 + data[250:], "damaged bgzip|cannot be read as VCF"),
        (lambda data: gzip.compress(gzip.decompress(data)), "compressed with gzip, not with bgzip"),
        (lambda _: b"chr1\t3\t.\tA\tC\n", "not a VCF or BCF file"),
        (lambda _: b"", "not a VCF or BCF file"),
        (lambda _: vcf_of([])[:-1].encode() + b"\nc1\t3\t.\tA", "in the first record: cannot be"),
        (lambda _: b"##fileformat=VCFv4.2\n##contig=<ID=a>\n", "in the header: cannot be read"),
    ],
)
def test_files_that_are_damaged_or_of_another_kind_are_refused(files, change, said):
    path = files["bgzip"]
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(InputError, match=said) as error:
        read_variants(str(path))
    assert str(error.value).startswith(f"{path}: ")
    assert "\n" not in str(error.value)
