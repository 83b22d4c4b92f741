"""What depends on the section `regions` and the column `circular`: genomes with regions only."""

from pathlib import Path

import pytest
from evo2_embed.chunk.chunk_table import chunk_bundle
from evo2_embed.io.errors import InputError
from evo2_embed.run.digests import Digests
from evo2_embed.run.frozen import freeze, load_frozen, plan_run
from evo2_embed.run.params import rule_params
from runs import CONFIG, merged, random_bases, write_fasta

SHEET = "genome\tfasta\tregions\tcircular\nplain\tg.fa\t\ttrue\nwith\tg.fa\tr.bed\t{}\n"


@pytest.fixture
def plan(tmp_path, monkeypatch):
    """A function that plans a run of two bundles: a genome without regions, and one with."""
    monkeypatch.chdir(tmp_path)
    write_fasta("g.fa", [("c", random_bases(500, 1)), ("d", random_bases(400, 2))])
    Path("r.bed").write_text("c\t450\t520\tover\t0\t+\nd\t0\t50\n")

    def plan(circular="c", **regions):
        Path("genomes.tsv").write_text(SHEET.format(circular))
        changes = {"regions": regions, "sharding": {"shards": 1}}
        return plan_run(merged(CONFIG, changes))

    return plan


def test_settings_of_regions_count_only_for_bundles_with_regions(plan):
    def params(run, bundle):
        return rule_params(run, "chunk_fasta", bundle=bundle)["settings"]

    run, other = plan(), plan(flank=5)
    # As they were before there were such settings: Snakemake compares the text.
    assert list(params(run, "plain")) == ["code", "windows"]
    assert repr(params(run, "plain")) == repr(params(other, "plain"))
    assert params(run, "with")["regions"]["flank"] == 0
    assert params(other, "with")["regions"]["flank"] == 5
    assert run.bundles["plain"].genomes[0].row == ["plain", "g.fa", None]


def test_a_chunk_table_of_other_regions_is_refused(plan):
    def chunk(run, bundle):
        settings = rule_params(run, "chunk_fasta", bundle=bundle)["settings"]
        path = Path("results", "chunks", f"{bundle}.parquet")
        path.parent.mkdir(parents=True, exist_ok=True)
        genomes = list(run.bundles[bundle].genomes)
        windows, code = settings["windows"], settings["code"]
        chunk_bundle(genomes, windows, "i", str(path), code, regions=settings.get("regions"))

    run = plan()
    for bundle in ("plain", "with"):
        chunk(run, bundle)
    digests = [Digests(each, Path("results")) for each in (run, plan(flank=5), plan("true"))]
    assert len({each.chunks("plain") for each in digests}) == 1
    digests[0].chunks("with")
    for other in digests[1:]:
        with pytest.raises(InputError, match=r"with.parquet: made from other settings or genomes"):
            other.chunks("with")


def test_a_frozen_run_keeps_what_is_circular(plan):
    for circular in ("c", "c,d", "true"):
        run = plan(circular)
        freeze(run, "frozen.yaml")
        assert load_frozen("frozen.yaml") == run


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n",
            "r.bed: line 1: the file is VCF (its place is the column variants; for BED: bcftools",
        ),
        ("c\t0\t10\nchrc\t0\t10\n", "r.bed: line 2: no record 'chrc' in g.fa, which has c, d; "),
        ("d\t0\t401\n", "r.bed: line 1: end 401 is past the end of record 'd' (400 bases)"),
        ("c\t0\t10\nd\t9\t9\n", "r.bed: line 2: start 9 and end 9 (wanted: 0 <= start < end)"),
    ],
)
def test_faults_of_regions_are_found_before_any_job(plan, text, said):
    Path("r.bed").write_text(text)
    with pytest.raises(InputError) as error:
        plan()
    (line,) = str(error.value).splitlines()
    assert line.startswith(said)
