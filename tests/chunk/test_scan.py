"""A saturation scan: each base of regions, changed to the three others."""

import zlib

import pyarrow.parquet as pq
import pytest
from evo2_embed.chunk.chunk_table import chunk_bundle
from evo2_embed.chunk.variants import count_pairs, plan_variants
from evo2_embed.config.resolve import resolve
from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.io.errors import InputError
from evo2_embed.plan.bundles import plan_bundles
from evo2_embed.plan.estimate import estimate_run
from evo2_embed.plan.tokens import sites_of
from evo2_embed.run.frozen import plan_run
from evo2_embed.run.params import rule_params
from runs import CONFIG, merged, random_bases, write_fasta
from variant_files import vcf_of

BASES = random_bases(300, 7)
# Lower case and ambiguous letters are in the regions.
CONTIG = BASES[:52] + BASES[52:56].lower() + "NR" + BASES[58:]
BED = "c\t50\t60\tone\nc\t5\t8\t.\nc\t57\t63\ttwo\nd\t0\t3\tends\n"
# Bases that have the same window: at most two of 20, none on both sides of a gap.
SHARED = {
    "c": [[5, 6], [7], [50, 51], [52, 53], [54, 55], [56, 57], [58, 59], [60, 61], [62]],
    "d": [[0, 1], [2]],
}
NAMES = {5: None, 50: "one", 60: "two", 0: "ends"}
CONTIGS = {"c": CONTIG, "d": "ACG" + BASES[:80], "e": BASES}
_SWAP = str.maketrans("ACGTacgtNR", "TGCAtgcaNY")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_fasta("g.fa", CONTIGS.items())
    (tmp_path / "r.bed").write_text(BED)
    (tmp_path / "genomes.tsv").write_text("genome\tfasta\tregions\ng\tg.fa\tr.bed\n")
    return tmp_path


def every_change(lower_case="upper"):
    """By variant, strand and allele: ID, start and end of the window, its checksum, and the bases
    of the strand that it has before the variant."""
    found, name = {}, None
    for contig, windows in SHARED.items():
        bases = CONTIGS[contig] if lower_case == "keep" else CONTIGS[contig].upper()
        for shared in windows:
            for place in shared:
                name = NAMES.get(place, name)
                for letter in sorted(set("ACGT") - {bases[place].upper()}):
                    if bases[place].upper() not in "ACGT":
                        continue
                    changed = letter.lower() if bases[place].islower() else letter
                    texts = {"ref": bases, "alt": bases[:place] + changed + bases[place + 1 :]}
                    variant = f"{contig}:{place + 1}:{bases[place].upper()}:{letter}"
                    for strand in "+-":
                        first, stop = shared[-1] - 20, shared[-1] + 20
                        if strand == "-":
                            first, stop = shared[0] + 1 - 20, shared[0] + 1 + 20
                        first, stop = max(first, 0), min(stop, len(bases))
                        before = place - first if strand == "+" else stop - 1 - place
                        for allele, text in texts.items():
                            sum_ = zlib.crc32(text[first:stop].encode())
                            found[variant, strand, allele] = name, first, stop, sum_, before
    return found


def started(**changes):
    scan = {"variants": {"scan": "every", "size": 40}, "windows": {"strands": "both"}}
    return merged(merged(CONFIG, scan), changes)


def chunked(genome, settings):
    sections = {"variants": settings.variants.to_dict(), "regions": settings.regions.to_dict()}
    windows = settings.windows.to_dict()
    made = chunk_bundle([genome], windows, "indexes", "chunks.parquet", 1, **sections)
    return pq.read_table("chunks.parquet").to_pylist(), made["genomes"]["g"]


@pytest.mark.parametrize("share", ["window", "contig", "none"])
@pytest.mark.parametrize("lower_case", ["upper", "keep"])
def test_every_base_is_changed_to_the_three_others(folder, share, lower_case):
    windows = {"lower_case": lower_case}
    windows |= {"size": 40, "context": {"span": 80, "min": 20}} if share == "contig" else {}
    settings, (genome,) = resolve(started(variants={"share": share}, windows=windows))
    rows, counts = chunked(genome, settings)
    wanted = every_change(lower_case)
    found = {}
    for row in rows:
        before = row["length"] - (row["context"] - row["fork"])
        kept = row["id"], row["start"], row["end"], row["crc32"], before
        found[row["variant"], row["strand"], row["allele"]] = kept
        if row["allele"] == "alt":
            assert row["insert"].upper() == row["variant"][-1]
    assert found == wanted
    assert len(rows) == len(wanted) == 2 * 2 * 3 * (16 + 3 - 2)
    assert (counts["variants"], counts["skipped: base is ambiguous"]) == (51, 2)
    assert (counts["contigs"], counts["contigs without regions"]) == (2, 1)
    assert any(row["insert"] == "a" for row in rows) == (lower_case == "keep")
    parents = {row["stretch"] for row in rows if row["allele"] == "ref"}
    if share == "window":  # a reference per window; at the left end, + has one for two windows
        begins = {
            (row["contig"], row["strand"], row["start" if row["strand"] == "+" else "end"])
            for row in rows
        }
        assert len(parents) == len(begins) < 2 * sum(map(len, SHARED.values()))
    if share != "none":
        forks = [row for row in rows if row["allele"] == "alt" and row["fork"]]
        assert {row["parent"] for row in forks} <= parents
    # The plan cannot know ambiguous letters before the file is read.
    sites, factor = sites_of(genome, {"c": 300, "d": 83, "e": 300}, settings)
    assert factor == 1
    assert sum(map(len, sites.values())) == 3 * (16 + 3)


def test_the_plan_knows_the_windows_of_a_scan(folder):
    (folder / "r.bed").write_text("c\t150\t153\nc\t152\t158\n")
    settings, genomes = resolve(started(variants={"size": 64}))
    bundles = {bundle.name: bundle for bundle in plan_bundles(genomes, settings)}
    (genome,) = estimate_run(settings, bundles, "indexes").genomes
    assert genome.windows == 8 * 3 * 2 * 2
    # Two windows on a strand, of four bases each: the last of them has 32 bases from it on.
    own = 3 * sum(32 + i for i in range(4))
    assert genome.tokens == genome.shares["window"] == 2 * 2 * (64 + own)
    assert genome.shares["none"] == 2 * 2 * (64 + 3 * 4 * 64)
    assert (genome.exact, genome.tiled) == (True, False)


def test_a_region_over_the_origin_is_scanned_on_both_sides(folder):
    (folder / "r.bed").write_text("c\t298\t302\n")
    (folder / "genomes.tsv").write_text("genome\tfasta\tregions\tcircular\ng\tg.fa\tr.bed\ttrue\n")
    settings, (genome,) = resolve(started(windows={"strands": "+"}))
    rows, _ = chunked(Genome(*genome.row), settings)
    assert {int(row["variant"].split(":")[1]) for row in rows} == {1, 2, 299, 300}
    sites, _ = sites_of(genome, {"c": 300}, settings)
    assert count_pairs(plan_variants(300, sites["c"], settings.windows, settings.variants)[0])[
        0
    ] == len(rows)


def test_regions_without_a_base_that_can_change_are_refused(folder):
    (folder / "r.bed").write_text("c\t56\t58\n")
    settings, (genome,) = resolve(started())
    with pytest.raises(InputError, match=r"no window is left to embed \(2 base is ambiguous\)"):
        chunked(genome, settings)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"variants": {"scan": "all"}}, "variants.scan"),
        (
            {"regions": {"flank": 5}},
            r"scan: every does not work with regions.flank, .* \(allowed: regions.flank: 0\)",
        ),
        ({"regions": {"splice": True}}, "does not work with regions.splice, .*splice: false"),
        ({"probe": {"labels": "r.bed"}}, "probe: does not work with variants"),
        ({"variants": {"downstream": 41}}, "variants.downstream: 41 is more than variants.size"),
    ],
)
def test_settings_that_do_not_go_with_a_scan_are_refused(folder, changes, said):
    with pytest.raises(InputError, match=said):
        resolve(started(**changes))


def test_a_scan_needs_regions(folder):
    (folder / "genomes.tsv").write_text("genome\tfasta\ng\tg.fa\n")
    with pytest.raises(InputError, match="scan: every needs a file in the column regions of the s"):
        resolve(started())


def test_runs_with_a_file_of_variants_do_not_depend_on_the_key(folder):
    (folder / "v.vcf").write_text(vcf_of([("c", 3, ".", CONTIG[2], "ACGT".strip(CONTIG[2])[0])]))
    both = "genome\tfasta\tvariants\tregions\ng\tg.fa\tv.vcf\t\nh\tg.fa\t\tr.bed\n"
    (folder / "genomes.tsv").write_text(both)
    run = plan_run(started(sharding={"shards": 1}))
    g, h = (rule_params(run, "chunk_fasta", bundle=name)["settings"] for name in "gh")
    assert set(h["variants"]) - set(g["variants"]) == {"scan"}
    assert set(h) - set(g) == {"regions"}
