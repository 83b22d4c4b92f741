"""Packs and shards deleted after a run: nothing is embedded again for it."""

import contextlib
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import tidy_results
import yaml
from everything import EXTRACTIONS, FUSIONS, SETTINGS, configure, list_genomes
from evo2_embed.io.errors import InputError
from evo2_embed.io.files import read_json, write_json
from evo2_embed.plan.speeds import known_speeds
from evo2_embed.run.finished import FinishedBundles
from evo2_embed.run.frozen import RUN_CONFIG, Run, load_frozen, plan_run
from evo2_embed.run.status import shard_states
from evo2_embed.run.tidy import tidy
from runs import random_bases, write_fasta

END = {"write_report", "all"}


RESULTS = Path("results")


@pytest.fixture(scope="module")
def tidied(finished_run, tmp_path_factory):
    """A copy of a finished run, tidied."""
    flow = finished_run.copy_to(tmp_path_factory.mktemp("tidy") / "flow")
    with contextlib.chdir(flow.folder):
        flow.said = tidy_results.main(".", True)
    return flow


@pytest.fixture
def flow(tidied):
    """The tidied run; its configuration and its sheet as they were after the test."""
    yield tidied
    configure(tidied)
    list_genomes(tidied)


def test_packs_and_shards_are_gone_and_their_size_is_told(finished_run, tidied):
    results = finished_run.folder / "results"
    files = [
        path
        for name in ("packs", "shards")
        for path in (results / name).rglob("*")
        if path.is_file()
    ]
    first, *rest = tidied.said.splitlines()
    assert first.startswith(f"deleted {len(files)} pack and shard files (")
    assert "levels, score_strands" in "".join(rest)
    assert {path.name for path in results.iterdir()} - {
        path.name for path in (tidied.folder / "results").iterdir()
    } == {"packs", "shards"}
    assert tidied.dataset() == finished_run.dataset()


def test_a_second_run_has_nothing_to_do(flow):
    assert not flow.planned()


def test_a_change_of_the_report_makes_only_the_report(flow):
    configure(flow, report={"points": 77, "umap": False})
    assert set(flow.planned()) == END


def test_a_new_fusion_embeds_nothing(flow):
    both = {**EXTRACTIONS["both"], "fusion": {**FUSIONS, "mean": {"method": "mean"}}}
    configure(flow, extractions={**EXTRACTIONS, "both": both})
    fused = {"fit_fusion", "fuse_bundle", "fuse_layers", "write_manifest", "probe_layers"}
    assert set(flow.planned()) == fused | END


def test_a_new_extraction_embeds_only_itself(flow):
    configure(flow, extractions={**EXTRACTIONS, "new": {"layers": ["blocks.4"]}})
    jobs = flow.planned()
    assert jobs["embed_shard"] == jobs["pack_tokens"] == 3
    assert (jobs["aggregate_bundle"], jobs["aggregate_embeddings"]) == (2, 1)


def test_a_new_genome_embeds_only_its_bundle(flow):
    write_fasta(flow.folder / "third.fa", [("chr", random_bases(30_000, 7))])
    list_genomes(flow, ("large", "small", "third"))
    jobs = flow.planned()
    with contextlib.chdir(flow.folder):
        config = yaml.safe_load(Path("config/config.yaml").read_text())
        shards = plan_run(config).bundles["third"].n_shards
    assert jobs["chunk_fasta"] == 1
    assert jobs["embed_shard"] == 2 * shards  # extractions
    assert jobs["score_bundle"] == 2


def test_a_changed_genome_embeds_its_bundle(flow):
    path = flow.folder / "small.fa"
    before, state = path.read_bytes(), path.stat()
    write_fasta(path, [("chr", random_bases(400, 99))])
    jobs = flow.planned()
    assert (jobs["chunk_fasta"], jobs["embed_shard"]) == (1, 2)
    path.write_bytes(before)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


@pytest.fixture
def run(tidied, monkeypatch):
    """The tidied run, in its folder."""
    monkeypatch.chdir(tidied.folder)
    return load_frozen(RUN_CONFIG)


def finished(run):
    """Whether the small genome is finished in one of the extractions."""
    return FinishedBundles(run, RESULTS).has("both", "small")


def test_status_and_speeds_count_shards_that_were_deleted(run, finished_run, monkeypatch):
    states = shard_states(run, RESULTS, Path("logs"), "both", {})
    speeds = known_speeds(run.settings, RESULTS)
    monkeypatch.chdir(finished_run.folder)
    before = shard_states(run, RESULTS, Path("logs"), "both", {})
    assert (states.done, states.waiting, states.tokens_done) == (3, 0, before.tokens_done)
    assert states.speed == pytest.approx(before.speed)
    assert speeds == known_speeds(run.settings, RESULTS)


CHANGES = {
    "levels": {"extractions": {**EXTRACTIONS, "both": {**EXTRACTIONS["both"], "levels": []}}},
    "score_strands": {
        "extractions": {**EXTRACTIONS, "both": {**EXTRACTIONS["both"], "score_strands": "keep"}}
    },
    "windows": {"windows": {**SETTINGS["windows"], "size": 150}},
    "packing": {"packing": {**SETTINGS["packing"], "max_tokens": 600}},
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_bundle_of_other_settings_is_not_finished(run, tidied, name):
    assert finished(run)
    try:
        configure(tidied, **CHANGES[name])
        config = yaml.safe_load(Path("config/config.yaml").read_text())
        assert not finished(plan_run(config))
    finally:
        configure(tidied)


def test_a_bundle_of_other_files_is_not_finished(run):
    bundle = run.bundles["small"]
    other = replace(bundle, genomes=(replace(bundle.genomes[0], fasta="large.fa"),))
    assert not finished(Run(run.settings, {**run.bundles, "small": other}))
    chunks = RESULTS / "chunks/small.parquet"
    state = chunks.stat()
    os.utime(chunks, ns=(0, 0))
    assert not finished(run)
    os.utime(chunks, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert finished(run)


@pytest.mark.parametrize(
    "lost",
    [
        *("embeddings/both/norm/part-00001-small-00000.parquet", "bundles/both/small/scores.json"),
        *("bundles/both/small/levels/norm.contig.parquet", "bundles/both/small/shards/all.json"),
        *("models/evo2_tiny.json", "chunks/small.parquet"),
    ],
)
def test_a_bundle_with_a_lost_file_is_not_finished_and_keeps_its_shards(run, tmp_path, lost):
    path = RESULTS / lost
    shutil.move(path, tmp_path / "kept")
    try:
        assert not finished(run)
        assert "small" in tidy(run, RESULTS).kept
    finally:
        shutil.move(tmp_path / "kept", path)


def test_a_bundle_of_other_weights_is_not_finished(run):
    path = RESULTS / "models/evo2_tiny.json"
    before = path.read_bytes()
    write_json(path, {**read_json(path), "sha256": "0"})
    assert not finished(run)
    path.write_bytes(before)


def test_nothing_is_deleted_on_request(finished_run, monkeypatch):
    before = {path: path.stat() for path in finished_run.folder.rglob("*")}
    monkeypatch.chdir(finished_run.folder)
    assert tidy_results.main(".", False).startswith("would delete ")
    assert {path: path.stat() for path in finished_run.folder.rglob("*")} == before
    monkeypatch.chdir(finished_run.folder / "config")
    with pytest.raises(InputError, match="no run was started"):
        tidy_results.main(".", True)
