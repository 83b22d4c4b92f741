"""Genomes that are left out when a run starts, or were by an earlier run, and their repair."""

import os
import random
import shutil
from pathlib import Path

import polars as pl
import pytest
from evo2_embed.chunk.chunk_table import chunk_bundle
from evo2_embed.dataset.genomes import further_columns, write_genomes
from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.genomes.skipped import read_skipped
from evo2_embed.io.errors import InputError
from evo2_embed.plan.bundles import plan_bundles
from evo2_embed.run.frozen import RUN_CONFIG, freeze, load_frozen, plan_run
from evo2_embed.run.params import rule_params
from evo2_embed.run.repaired import repaired_bundles
from runs import CONFIG, merged, random_bases, write_fasta

RESULTS = Path("results")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def sheet(rows):
    """Write the sheet: (name, file), (name, file, regions)."""
    lines = ["genome\tfasta\tregions", *("\t".join([*row, ""][:3]) for row in rows)]
    Path("genomes.tsv").write_text("\n".join(lines) + "\n")


def planned(**changes):
    """The run that is planned, frozen as at its start, and read again."""
    changes = merged({"on_bad_genome": "skip", "sharding": {"shard_tokens": 1000}}, changes)
    run = plan_run(merged(CONFIG, changes))
    freeze(run, RUN_CONFIG)
    assert load_frozen(RUN_CONFIG) == run
    return run


def bundles_of(run):
    return {name: [genome.name for genome in b.genomes] for name, b in run.bundles.items()}


def good(name, length=450):
    return write_fasta(f"{name}.fa", [("c", random_bases(length, 3))])


def bad_rows():
    """A sheet with a good genome first and last, and five bad ones."""
    Path("empty.fa").touch()
    Path("no.bed").write_text("")
    Path("past.bed").write_text("c\t0\t4\nc\t400\t451\n")
    good("a"), good("z")
    rows = [("a", "a.fa"), ("gone", "gone.fa"), ("empty", "empty.fa"), ("A", "z.fa")]
    return [*rows, ("r", "a.fa", "no.bed"), ("past", "a.fa", "past.bed"), ("z", "z.fa")]


def test_genomes_with_faults_are_left_out_when_a_run_starts(tmp_path):
    sheet(bad_rows())
    run = planned()
    assert bundles_of(run) == {"a": ["a", "z"]}
    said = {genome.name: genome.fault for genome in run.left_out}
    assert said["gone"].endswith("No such file or directory")
    assert said["empty"].endswith("the file is empty")
    assert said["A"] == "genomes.tsv: genome 'A' occurs twice (first as 'a')"
    assert said["r"].endswith("regions 'no.bed': the file is empty")
    assert "past.bed: line 2: end 451" in said["past"]
    assert set(said) == {"gone", "empty", "A", "r", "past"}
    with pytest.raises(InputError) as error:
        planned(on_bad_genome="stop")
    names = ("gone", "empty", "A", "r", "past")
    assert str(error.value).split("\n") == [said[name] for name in names]


def test_a_sheet_that_cannot_be_understood_always_stops():
    good("a")
    sheet([("a", "a.fa"), ("b c", "a.fa")])
    with pytest.raises(InputError, match="line 3: genome 'b c'"):
        planned()
    sheet([("a", "gone.fa"), ("b", "gone.fa")])
    with pytest.raises(InputError, match="no genome is left"):
        planned()


def test_a_repaired_genome_changes_its_own_bundle_only():
    rows = bad_rows()
    rows[2:2] = [(name, good(name)) for name in "bcdef"]
    sheet(rows)
    before = bundles_of(planned())
    assert before == {"a": ["a", "b"], "c": ["c", "d"], "e": ["e", "f"], "z": ["z"]}
    good("gone")
    after = bundles_of(planned())
    assert after == {"a": ["a", "gone"], "b": ["b"], **dict(list(before.items())[1:])}
    # Without the earlier run, the bundles after it would be others.
    Path(RUN_CONFIG).unlink()
    assert bundles_of(planned()) == {"a": ["a", "gone"], "b": ["b", "c"], "d": ["d", "e"]} | {
        "f": ["f", "z"]
    }


def test_a_bundle_without_a_usable_genome_has_no_jobs_until_one_is_repaired():
    good("a", 900), good("z", 900)
    sheet([("a", "a.fa"), ("gone", "gone.fa"), ("z", "z.fa")])
    run = planned(sharding={"shards": 2})
    assert list(run.bundles) == ["a", "z"]
    assert run.genome_names == ["a", "z", "gone"]
    good("gone", 100)
    assert list(planned(sharding={"shards": 2}).bundles) == ["a", "gone", "z"]


@pytest.mark.parametrize("seed", range(20))
def test_what_happens_to_a_genome_changes_no_bundle_but_its_own(complete, seed):
    """Genomes that grow, shrink, come and go, one per run."""
    rng = random.Random(seed)
    settings = complete(sharding={"shard_tokens": 1000})
    rows = [(f"g{n}", rng.randint(50, 700)) for n in range(30)]

    def bundles(earlier):
        genomes = [Genome(name, write_fasta(f"{name}.fa", [("c", "A" * n)])) for name, n in rows]
        found = plan_bundles(genomes, settings, earlier)
        return {b.name: tuple(g.name for g in b.genomes) for b in found}

    before = bundles({})
    for step in range(8):
        place = rng.randrange(1, len(rows))
        what = rng.choice(["change", "remove", "add"])
        owner = next(name for name, mine in before.items() if rows[place - 1][0] in mine)
        if what == "add":
            rows.insert(place, (f"new{step}", rng.randint(50, 700)))
            touched = {owner}
        else:
            mine = next(name for name, genomes in before.items() if rows[place][0] in genomes)
            touched = {mine}
            if what == "remove":
                del rows[place]
            else:
                rows[place] = (rows[place][0], rng.randint(50, 700))
        earlier = {genome: name for name, genomes in before.items() for genome in genomes}
        after = bundles(earlier)
        for name, genomes in before.items():
            assert name in touched or after[name] == genomes
        assert [g for mine in after.values() for g in mine] == [name for name, _ in rows]
        before = after


def test_further_columns_are_in_the_table_of_genomes_and_no_job_of_embeddings_knows_them(skipped):
    good("a"), good("b", 1100), good("c")
    rows = ["genome\tclade (Pango)\tfasta\tyear\tshare", "a\tB.1\ta.fa\t2020\t.5"]
    rows += ["b\t'name: x'\tb.fa\t\t1e-2", "c\tNA\tc.fa\t2021", "gone\t007\tgone.fa\t1\t2"]
    Path("genomes.tsv").write_text("\r\n".join(rows))
    run = skipped()
    table = pl.read_parquet(RESULTS / "genomes.parquet")
    assert table.columns[-3:] == ["clade (Pango)", "year", "share"]
    assert table["clade (Pango)"].to_list() == ["B.1", "'name: x'", None, "007"]
    assert table["year"].to_list() == [2020, None, 2021, 1]
    assert table["share"].to_list() == [0.5, 0.01, None, 2]
    assert bundles_of(run) == {"a": ["a"], "b": ["b"], "c": ["c"]}
    assert further_columns(RESULTS / "genomes.parquet")["a"] == {
        "clade (Pango)": "B.1",
        "year": 2020,
        "share": 0.5,
    }
    Path("genomes.tsv").write_text("\n".join([rows[0], rows[1].replace("B.1", "B.2"), *rows[2:]]))
    again = planned()
    assert rule_params(again, "list_genomes") != rule_params(run, "list_genomes")
    for name, bundle in run.bundles.items():
        assert [g.row for g in again.bundles[name].genomes] == [g.row for g in bundle.genomes]
        settings = (rule_params(each, "chunk_fasta", bundle=name) for each in (run, again))
        assert len({str(each) for each in settings}) == 1


@pytest.fixture
def skipped():
    """A function that chunks the run and writes the tables of genomes; then the run again."""

    def skipped(**changes):
        run = planned(**changes)
        for bundle in run.bundles.values():
            settings = rule_params(run, "chunk_fasta", bundle=bundle.name)["settings"]
            others = {key: settings[key] for key in ("regions",) if key in settings}
            chunk_bundle(
                list(bundle.genomes),
                settings["windows"],
                "indexes",
                f"results/chunks/{bundle.name}.parquet",
                settings["code"],
                on_bad_genome="skip",
                **others,
            )
        chunks = [f"results/chunks/{name}.parquet" for name in run.bundles]
        tables = RESULTS / "genomes.parquet", RESULTS / "skipped.tsv"
        write_genomes(chunks, run.all_genomes, {}, *tables)
        return run

    return skipped


def test_a_genome_that_was_left_out_is_looked_at_again_if_its_file_is_another(skipped):
    good("a"), good("z", 1100)
    Path("b.fa").write_text(">c\nMKVLE\n")
    sheet([("a", "a.fa"), ("b", "b.fa"), ("gone", "gone.fa"), ("z", "z.fa")])
    run = skipped()
    (bad, early) = read_skipped(RESULTS / "skipped.tsv")
    assert (bad.genome, bad.file, early.genome, early.digest) == ("b", "b.fa", "gone", "")
    assert bad.reason.startswith("b.fa: record 'c': 'L' at base 4")
    assert repaired_bundles(run, RESULTS) == set()
    with pytest.raises(InputError) as error:
        repaired_bundles(planned_without_gone("stop"), RESULTS)
    assert str(error.value).startswith(bad.reason)
    # A file with an older time than the chunk table, as `rsync -a` or `cp -p` leave it.
    shutil.copy("a.fa", "b.fa")
    os.utime("b.fa", (1_000_000_000,) * 2)
    assert repaired_bundles(run, RESULTS) == {"a"}
    assert repaired_bundles(planned_without_gone("stop"), RESULTS) == {"a"}


def planned_without_gone(policy):
    sheet([("a", "a.fa"), ("b", "b.fa"), ("z", "z.fa")])
    return planned(on_bad_genome=policy)


def test_a_genome_that_other_settings_make_usable_is_no_fault(skipped):
    good("a"), good("z")
    # Too many bases to be looked at when a run starts.
    write_fasta("big.fa", [("c", random_bases(9_000_000, 1))])
    Path("past.bed").write_text("c\t0\t40\nc\t8999990\t9000001\n")
    sheet([("a", "a.fa"), ("big", "big.fa", "past.bed")])
    skipped()
    with pytest.raises(InputError, match="past.bed: line 2: end 9000001"):
        repaired_bundles(planned(on_bad_genome="stop"), RESULTS)
    run = planned(on_bad_genome="stop", regions={"off_contig": "clip"})
    assert repaired_bundles(run, RESULTS) == {"a"}
