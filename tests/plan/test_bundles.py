"""Bundles and shards, from the sheet and the sizes of files."""

import pytest
from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.io.errors import InputError
from evo2_embed.plan.bundles import plan_bundles
from evo2_embed.settings.settings import Settings


@pytest.fixture
def genome(tmp_path):
    """A function that makes a genome of a number of bytes."""

    def genome(name, size):
        path = tmp_path / f"{name}.fa"
        path.write_bytes(b"A" * size)
        return Genome(name, str(path))

    return genome


def plan(genomes, shards="auto", tokens=1000, regions=None, **windows):
    settings = {
        "regions": regions or {},
        "genomes": "-",
        "extractions": {},
        "windows": {"size": 100, "stride": 100, **windows},
        "sharding": {"shard_tokens": tokens, "shards": shards},
    }
    bundles = plan_bundles(genomes, Settings.from_dict(settings))
    return [([g.name for g in b.genomes], b.n_shards) for b in bundles]


def test_small_neighbours_share_a_bundle_and_large_genomes_stand_alone(genome):
    sizes = {"a": 300, "b": 600, "c": 200, "d": 2500, "e": 10, "f": 1000}
    genomes = [genome(name, size) for name, size in sizes.items()]
    assert plan(genomes) == [
        (["a", "b"], 1),
        (["c"], 1),
        (["d"], 3),
        (["e"], 1),
        (["f"], 1),
    ]


def test_the_order_of_the_sheet_is_kept(genome):
    genomes = [genome(f"g{i}", size) for i, size in enumerate((10, 5000, 10, 10, 3000, 10))]
    names = [name for names, _ in plan(genomes) for name in names]
    assert names == [g.name for g in genomes]


def test_a_genome_at_the_end_changes_no_bundle_but_the_last(genome):
    genomes = [genome(f"g{i}", 300 + i) for i in range(20)]
    for count in range(1, 20):
        before, after = plan(genomes[:count]), plan(genomes[: count + 1])
        assert after[: len(before) - 1] == before[:-1]
        assert after[len(before) - 1][0][: len(before[-1][0])] == before[-1][0]


def test_strands_overlap_and_an_integer_count(genome):
    genomes = [genome("a", 1500)]
    assert plan(genomes, strands="both") == [(["a"], 3)]
    assert plan(genomes, stride=50) == [(["a"], 3)]
    assert plan([*genomes, genome("b", 5)], shards=7) == [(["a"], 7), (["b"], 7)]


def test_bases_that_run_again_before_a_stretch_count(genome):
    genomes = [genome("a", 4000)]
    assert plan(genomes, stride=50) == [(["a"], 8)]
    assert plan(genomes, stride=50, context={"span": 4000, "min": 0}) == [(["a"], 5)]
    # Of 1,000 bases that run, 600 are new.
    assert plan(genomes, context={"span": 1000, "min": 400}) == [(["a"], 7)]


def test_ten_thousand_small_genomes_are_tens_of_bundles(genome):
    shared = genome("shared", 5)
    genomes = [Genome(f"g{i}", shared.fasta) for i in range(10_000)]
    assert len(plan(genomes)) == 50


def test_regions_count_instead_of_the_genome(genome, tmp_path):
    (tmp_path / "r.bed").write_text("c\t0\t700\nc\t100\t1600\n")
    large = genome("a", 50_000)
    regions = [Genome("a", large.fasta, str(tmp_path / "r.bed"))]
    assert plan(regions) == [(["a"], 3)]
    # A region on each strand, each after its flank.
    assert plan(regions, regions={"flank": 500}, strands="both") == [(["a"], 6)]
    # All back to the contig's start, once for both regions.
    spans, rows = {"span": 50_000, "min": 0}, {"rows": "window"}
    assert plan(regions, regions=rows, context=spans) == [(["a"], 2)]
    (tmp_path / "r.bed").write_text("c\t0\t700\n#c\t100\t1600\n")
    assert plan(regions) == [(["a"], 1)]


def test_more_shards_than_their_names_can_count_are_refused_in_one_line(genome):
    largest, small = genome("large", 99_990), genome("small", 9)
    assert sum(shards for _, shards in plan([largest, small], tokens=1)) == 99_999
    said = r"shard_tokens: 1 gives 100,008 shards, of which 99,990 for genome 'large'"
    with pytest.raises(InputError, match=said):
        plan([largest, small, small], tokens=1)
    with pytest.raises(InputError, match="60,000 for each of 2 genomes are 120,000 shards"):
        plan([largest, small], shards=60_000)
