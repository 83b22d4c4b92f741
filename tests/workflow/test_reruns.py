"""What a change reruns, as the table in config/README.md says: a real run, then a change."""

import os

import pytest
from evo2_embed.io.errors import InputError
from evo2_embed.run.frozen import load_frozen
from runs import Workflow, random_bases, write_fasta

MEAN = {"layers": ["norm"]}
LAST = {"layers": ["blocks.1"], "pooling": "last"}
BELOW_EMBED = {"embed_shard", "aggregate_embeddings", "write_manifest", "write_report", "all"}


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run: one large genome of two shards, and two small ones in a bundle."""
    flow = Workflow(tmp_path_factory.mktemp("reruns") / "flow")
    for name, length in (("large", 3000), ("small1", 500), ("small2", 400), ("small3", 300)):
        write_fasta(flow.folder / f"{name}.fa", [(name, random_bases(length, length))])
    configure(flow)
    list_genomes(flow, ["large", "small1", "small2"])
    flow.run()
    return flow


@pytest.fixture
def flow(finished, tmp_path):
    """A copy of the finished run that a test may change."""
    return finished.copy_to(tmp_path / "flow")


def configure(flow, **changes):
    settings = {"sharding": {"shard_tokens": 2000}, "extractions": {"mean": MEAN, "last": LAST}}
    flow.configure(**{**settings, **changes})


def list_genomes(flow, names):
    flow.sheet({name: f"{name}.fa" for name in names})


def test_nothing(flow):
    assert not flow.planned()


def test_a_comment_in_the_config(flow):
    path = flow.folder / "config" / "config.yaml"
    path.write_text(f"# a comment\n{path.read_text()}\n# another\n")
    assert not flow.planned()


def test_reordered_keys_and_spelled_out_defaults(flow):
    configure(
        flow,
        extractions={"last": LAST, "mean": {"precision": "fp32", "pooling": "mean", **MEAN}},
        windows={"strands": "+", "stride": 200},
    )
    assert not flow.planned()


def test_a_stated_speed_and_a_limit_that_is_kept(flow):
    configure(flow, runtime={"tokens_per_second": 1000.0}, max_output_gb=1)
    assert not flow.planned()


@pytest.mark.parametrize(
    "changed",
    [{"layers": ["blocks.0", "norm"]}, {**MEAN, "pooling": "max"}, {**MEAN, "dtype": "float16"}],
    ids=["layers", "pooling", "dtype"],
)
def test_an_extraction_reruns_itself_from_embed_on(flow, changed):
    configure(flow, extractions={"mean": changed, "last": LAST})
    jobs = flow.planned()
    assert set(jobs) == BELOW_EMBED
    assert jobs["embed_shard"] == 3
    before = flow.files("embeddings/last/**/*.*") | flow.files("shards/last/**/*.*")
    flow.run()
    assert before == flow.files("embeddings/last/**/*.*") | flow.files("shards/last/**/*.*")
    assert not flow.planned()


def test_levels_rerun_the_aggregation_only(flow):
    configure(flow, extractions={"mean": {**MEAN, "levels": ["contig"]}, "last": LAST})
    assert "embed_shard" not in flow.planned()
    flow.run()
    assert list(flow.files("embeddings/*/*.contig.parquet")) == [
        "embeddings/mean/norm.contig.parquet"
    ]


def test_a_new_extraction_leaves_the_others_alone(flow):
    before = flow.files("**/*.parquet")
    configure(flow, extractions={"mean": MEAN, "last": LAST, "new": {"layers": ["blocks.4"]}})
    assert flow.planned()["embed_shard"] == 3
    flow.run()
    assert before.items() <= flow.files("**/*.parquet").items()
    assert flow.files("embeddings/new/blocks.4/*.parquet")


def test_a_genome_at_the_end_redoes_the_open_bundle_only(flow):
    before = flow.files("shards/*/large/**/*.*") | flow.files("packs/large/*")
    list_genomes(flow, ["large", "small1", "small2", "small3"])
    jobs = flow.planned()
    assert jobs["chunk_fasta"] == jobs["pack_tokens"] == 1
    assert jobs["embed_shard"] == 2  # one shard of each extraction
    flow.run()
    assert before == flow.files("shards/*/large/**/*.*") | flow.files("packs/large/*")


def test_max_tokens_reruns_pack_and_below(flow):
    configure(flow, packing={"max_tokens": 600})
    jobs = flow.planned()
    assert set(jobs) == BELOW_EMBED | {"pack_tokens"}
    assert jobs["pack_tokens"] == 3
    assert jobs["embed_shard"] == 6


def test_windows_rerun_everything_but_the_model(flow):
    configure(flow, windows={"size": 150})
    assert set(flow.planned()) == BELOW_EMBED | {"chunk_fasta", "pack_tokens"}


def test_swapped_values_of_two_keys_are_seen(flow):
    configure(flow, windows={"size": 200, "stride": 150, "min_length": 100})
    flow.run("results/chunks/large.parquet")
    before = flow.files("chunks/large.parquet")
    configure(flow, windows={"size": 150, "stride": 200, "min_length": 100})
    assert flow.planned()["chunk_fasta"] == 2
    flow.run("results/chunks/large.parquet")
    assert before != flow.files("chunks/large.parquet")


def test_a_changed_fasta_redoes_its_bundle(flow):
    path = flow.folder / "large.fa"
    write_fasta(path, [("large", random_bases(3000, 99))])
    later = path.stat().st_mtime + 10
    os.utime(path, (later, later))
    jobs = flow.planned()
    assert jobs["chunk_fasta"] == 1
    assert jobs["pack_tokens"] == 2


def test_an_edit_of_the_frozen_settings_is_refused_by_jobs(flow):
    path = flow.folder / "results" / "run_config.yaml"
    path.write_text(path.read_text().replace("max_tokens: 1000", "max_tokens: 2000"))
    with pytest.raises(InputError, match="was edited"):
        load_frozen(path)
