"""Runs on a private SLURM with two simulated GPUs, through the profile: same dataset, whole
nodes."""

import re
import shutil
from itertools import combinations

import pytest
import yaml
from runs import ROOT, Workflow, merged
from slurm_runs import DATASET, running


@pytest.fixture
def demo(tmp_path):
    """The demo, in two shards and one layer, few shuffled windows, a short burn-in and no UMAP."""
    flow = Workflow(tmp_path / "local")
    manual, added = (
        yaml.safe_load((ROOT / "config" / name).read_text())
        for name in ("config.yaml", "demo.yaml")
    )
    config = merged(manual, {"windows": added["windows"]})
    config["sharding"]["shards"] = 2
    config["extractions"]["default"]["layers"] = ["blocks.6.mlp.l3"]
    config["compare"]["control"] = 4
    config["burn_in"]["length"] = 1024
    config["report"]["umap"] = False
    (flow.folder / "config" / "config.yaml").write_text(yaml.safe_dump(config))
    shutil.copy(ROOT / "config" / "genomes.tsv", flow.folder / "config")
    (flow.folder / "resources").mkdir()
    shutil.copy(ROOT / "resources" / "lambda.fa.gz", flow.folder / "resources")
    return flow


def test_the_demo_gives_the_dataset_of_a_local_run_and_each_embedding_job_a_gpu(
    demo, flow, cluster
):
    shutil.rmtree(flow.folder)
    demo.copy_to(flow.folder)
    demo.run()
    output = flow.end(flow.submit())
    assert flow.dataset() == demo.dataset()
    assert "slurm: no sacct here" in output
    name = output.split("SLURM run ID: ")[1].split()[0]
    jobs = [job for job in cluster.jobs() if job["JobName"] == name]
    embedding = [job for job in jobs if job["Comment"].startswith("rule_embed_")]
    assert len(embedding) == 4  # two shards, the shuffled windows and the burn-in
    assert len(jobs) > len(embedding)
    tasks = cluster.tasks()
    for job in jobs:
        is_embedding = job in embedding
        assert job["JobState"] == "COMPLETED"
        assert job["Partition"] == ("gpu" if is_embedding else "cpu")
        # chunk_fasta takes two for a genome of several shards.
        assert job["NumCPUs"] in (("4",) if is_embedding else ("1", "2"))
        assert (job.get("TresPerJob") == "gres:gpu:1") == is_embedding
        assert (tasks[job["JobId"], "0"]["devices"] in ("0", "1")) == is_embedding
    spans = [tasks[job["JobId"], "0"] for job in embedding]
    together = [
        (a, b)
        for a, b in combinations(spans, 2)
        if a["prolog"] < b["epilog"] and b["prolog"] < a["epilog"]
    ]
    assert together
    assert all(a["devices"] != b["devices"] for a, b in together)


def test_jobs_that_are_cancelled_or_past_their_time_are_retried(flow, cluster):
    process = flow.submit(DATASET)
    cancelled, late = running(cluster, 2)
    cluster.tell("scancel", cancelled)
    cluster.tell("scontrol", "update", f"JobId={late}", "TimeLimit=1")
    cluster.stop_processes(late)
    flow.end(process)
    states = {job["JobId"]: job["JobState"] for job in cluster.jobs()}
    assert states[cancelled] == "CANCELLED"
    assert states[late] == "TIMEOUT"
    assert flow.dataset() == flow.expected


def test_array_jobs_are_refused_with_a_line(flow):
    output = flow.end(flow.submit("--slurm-array-jobs", "embed_shard"), fails=True)
    assert "slurm error: slurm-array-jobs: embed_shard" in output
    assert not flow.files("shards/**/*.*")


def test_a_dry_run_with_the_profile_shows_the_jobs(flow):
    output = flow.end(flow.submit("-n"))
    assert re.search(r"^embed_shard +2$", output, re.M)
    assert "slurm_partition=gpu" in output


@pytest.mark.long
def test_the_log_of_a_failed_job_is_shown(flow):
    (flow.folder / "one.fa").write_text(">one\nACGT!\n")
    output = flow.end(flow.submit("--retries", "0", "results/chunks/one.parquet"), fails=True)
    assert "one.fa: record 'one'" in output
