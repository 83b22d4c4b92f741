"""The section variants and its files when a run starts."""

import json

import pytest
import show_plan
import yaml
from evo2_embed.config.resolve import resolve
from evo2_embed.genomes import fit
from evo2_embed.io.errors import InputError
from evo2_embed.plan.bundles import plan_bundles
from evo2_embed.plan.estimate import estimate_run
from runs import CONFIG, merged, random_bases, run_python, write_fasta
from variant_files import vcf_of

BASES = random_bases(3000, 5)
FUSION = {"method": "concat", "strands": "mean"}


@pytest.fixture
def started(tmp_path, monkeypatch):
    """A function that checks a configuration for a genome with variants."""
    monkeypatch.chdir(tmp_path)
    write_fasta("g.fa", [("c", BASES)])
    records = [("c", i + 1, ".", BASES[i], "AC"[BASES[i] == "A"]) for i in range(100, 2900, 7)]
    (tmp_path / "v.vcf").write_text(vcf_of(records))

    def started(sheet="genome\tfasta\tvariants\ng\tg.fa\tv.vcf\n", **changes):
        (tmp_path / "genomes.tsv").write_text(sheet)
        return resolve(merged(merged(CONFIG, {"variants": {"size": 100}}), changes))

    return started


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"variants": {"downstream": 101}}, "variants.downstream: 101 is more than variants.size"),
        ({"variants": {"size": 1}}, "variants.size"),
        ({"variants": {"share": "contig"}}, "share: contig needs a windows.context.span"),
        (
            {
                "windows": {"size": 50, "context": {"span": 120, "min": 30}},
                "variants": {"share": "contig"},
            },
            r"windows.context.span: 120 is less than .* \(allowed: at least 130\)",
        ),
        ({"windows": {"min_length": 101}}, "min_length: 101 is more than variants.size"),
        (
            {"packing": {"strategy": "padded"}},
            "variants.share: window does not work with packing.strategy: padded .allowed: none",
        ),
        (
            {"extractions": {"default": {"engine": "stock"}}},
            "share: window does not work with extractions.default.engine: stock",
        ),
        (
            {"packing": {"strategy": "padded"}, "variants": {"size": 2000, "share": "none"}},
            "windows of 2000 tokens cannot run in segments with packing.strategy: padded",
        ),
        ({"variants": {"strands": "mean"}}, "strands: mean needs both strands of every variant"),
        (
            {
                "windows": {"strands": "both", "ambiguous": {"policy": "skip"}},
                "variants": {"strands": "mean"},
            },
            "variants.strands: mean does not work with windows.ambiguous.policy: skip",
        ),
        ({"export": "finetune"}, "export: finetune does not work with variants"),
        ({"probe": {"labels": "v.vcf"}}, "probe: does not work with variants .allowed: null"),
        (
            {"extractions": {"default": {"levels": ["contig"]}}},
            "extractions.default.levels: does not work with variants",
        ),
        (
            {"extractions": {"default": {"skip_first": 100}}},
            r"skip_first: 100 leaves nothing .* variants.size .100. bases .allowed: 0 to 99",
        ),
        (
            {"variants": {"size": 100_000}, "model": {"name": "evo2_1b_base"}},
            "variants.size: 100000 is more than the training context of evo2_1b_base",
        ),
        (
            {"extractions": {"default": {"pooling": {"center": 101}}}},
            "pooling.center: 101 is more than variants.size",
        ),
        (
            {
                "windows": {"strands": "both"},
                "extractions": {"default": {"scores": True, "score_strands": "mean"}},
            },
            "default.score_strands: mean does not work with variants",
        ),
        (
            {
                "windows": {"strands": "both"},
                "extractions": {
                    "default": {"fusion": {"f": {"method": "concat", "strands": "mean"}}}
                },
            },
            "default.fusion.f.strands: mean does not work with variants",
        ),
    ],
)
def test_settings_that_do_not_go_with_variants_are_refused(started, changes, said):
    with pytest.raises(InputError, match=said):
        started(**changes)


def test_windows_size_does_not_matter_to_variants(started):
    started(
        windows={"size": 5000, "context": {"span": 400, "min": 50}}, variants={"share": "contig"}
    )


def test_a_file_of_variants_that_cannot_be_read_is_named(started, monkeypatch):
    def denied(path):
        raise PermissionError(13, "Permission denied", path)

    monkeypatch.setattr(fit, "check_file", denied)
    with pytest.raises(InputError, match=r"^v\.vcf: Permission denied$"):
        started()


def test_files_are_checked_when_a_run_starts_without_htslib(started, tmp_path):
    started()
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    modules = run_python(
        "import sys, yaml; from evo2_embed.run.frozen import plan_run; "
        "plan_run(yaml.safe_load(open('config.yaml'))); "
        "print([name for name in ('pysam', 'torch', 'polars', 'pandas') if name in sys.modules])",
        tmp_path,
    )
    assert modules == "[]"
    (tmp_path / "v.vcf").write_text("c\t3\t.\tA\tC\n")
    with pytest.raises(InputError, match="v.vcf: not a VCF or BCF file"):
        started()
    (tmp_path / "v.vcf").write_text(vcf_of([("chrc", 3, ".", BASES[2], "AC"[BASES[2] == "A"])]))
    said = "v.vcf: chrc:3: no record 'chrc' in g.fa, .* differ in the prefix 'chr' only"
    with pytest.raises(InputError, match=said):
        started()
    with pytest.raises(InputError, match="variants 'none.vcf'"):
        started("genome\tfasta\tvariants\ng\tg.fa\tnone.vcf\n")
    sheet = "genome\tfasta\tregions\tvariants\ng\tg.fa\tr.bed\tv.vcf\n"
    with pytest.raises(InputError, match="genome 'g': regions and variants"):
        started(sheet)


def test_the_estimate_has_the_tokens_of_each_way_of_sharing(started):
    settings, genomes = started(variants={"downstream": 20}, packing={"bos": True})
    bundles = {bundle.name: bundle for bundle in plan_bundles(genomes, settings)}
    estimate = estimate_run(settings, bundles, "indexes")
    (genome,) = estimate.genomes
    n = 400
    assert (genome.windows, genome.exact, genome.tiled) == (2 * n, True, False)
    # Every site has a window of its own, and an alternate with 20 bases or all.
    whole = 100 * n
    assert genome.shares["window"] == whole + 20 * n
    assert genome.shares["none"] == 2 * whole
    # Stretches of 400 bases have a window of 100 at their start, and one more every 7 bases.
    assert genome.shares["contig"] < whole
    assert genome.tokens == whole + 20 * n + 2 * n


def test_the_plan_has_the_price_of_each_way_of_sharing(started, tmp_path):
    changes = {"variants": {"size": 100, "downstream": 20}, "runtime": {"tokens_per_second": 2}}
    started()
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(merged(CONFIG, changes)))
    prices = json.loads(show_plan.main("config.yaml", ".", True))["variants"]
    assert [price["share"] for price in prices] == ["window", "contig", "none"]
    tokens = [price["tokens"] for price in prices]
    assert (tokens[0], tokens[2]) == (120 * 400, 200 * 400)
    for price in prices:
        assert price["hours"]["default"] == {"one job": price["tokens"] / 2 / 3600}
    text = show_plan.main("config.yaml", ".", False)
    lines = [line.split() for line in text.split("Variants, by")[1].splitlines()]
    assert ["default", "window", "48,000", "60%", "6.7", "h", "as", "set"] in lines
    assert ["default", "none", "80,000", "100%", "11.1", "h"] in lines
    assert "contig is counted with windows.context.span: 400" in text
