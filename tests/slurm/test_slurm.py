"""Runs on a private SLURM with two simulated GPUs, through the profile: same dataset, whole
nodes."""

import re
import shlex
import shutil
from itertools import combinations
from types import SimpleNamespace

import pytest
import snakemake_executor_plugin_slurm as plugin
from cluster import wait_for
from runs import MAKE_RUN
from slurm_runs import DATASET, running
from slurm_watch import gpu_problem


class Resources(dict):
    """Resources of a job as the plugin reads them: by key and by attribute."""

    __getattr__ = dict.get


def test_a_whole_run_gives_the_dataset_of_a_local_run_and_each_embedding_job_a_gpu(flow, cluster):
    shutil.rmtree(flow.folder / "results")
    output = flow.end(flow.submit(command=MAKE_RUN))
    assert flow.dataset() == flow.expected
    assert output.endswith((flow.folder / "results" / "summary.txt").read_text())
    assert re.search(r"^100\.0% of 3 k tokens, .*, \d+ of \d+ jobs done$", output, re.M)
    assert len(output.splitlines()) < 60
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
    """On a cluster that takes --gres only, in a Snakemake that is itself inside a job."""
    around = cluster.tell(
        "sbatch", "--parsable", "-t60", "-o/dev/null", "--wrap", "sleep 600"
    ).strip()
    wait_for(lambda: cluster.ask("squeue", "-h", "-j", around, "-t", "R"), "the job around")
    flow.environment = {**flow.environment, "SLURM_JOB_ID": around}
    process = flow.submit(DATASET, *flow.profile("gpu: 0", "gres: gpu:1"))
    cancelled, late = running(cluster, 2)
    cluster.tell("scancel", cancelled)
    cluster.tell("scontrol", "update", f"JobId={late}", "TimeLimit=1")
    cluster.stop_processes(late)
    output = flow.end(process)
    assert re.search(rf"inside SLURM job {around} and stops .*\(time left: [15]", output)
    states = {job["JobId"]: job["JobState"] for job in cluster.jobs()}
    assert states[cancelled] == "CANCELLED"
    assert states[late] == "TIMEOUT"
    assert flow.dataset() == flow.expected
    assert flow.claimed() <= {"0", "1"}


FORMS = {
    "any": {"gpu": 1},
    "type": {"gpu": 1, "gpu_model": "1g.10gb"},
    "gres": {"gpu": 0, "gres": "gpu:1"},
    "gres with a type": {"gpu": 0, "gres": "gpu:1g.10gb:1"},
    "dash": {"gpu": 0, "slurm_extra": "--gpus-per-node=a100-80gb:1"},
}


def submitted(resources):
    """What the executor plugin submits for a job with these resources."""
    job = SimpleNamespace(resources=Resources(resources), threads=1)
    named = ("run_uuid", "slurm_logfile", "comment_str", "account", "partition", "workdir")
    plugin.validate_slurm_extra(job)
    params = dict.fromkeys(named, "") | {"slurm_logfile": "/dev/null", "partition": "-p gpu"}
    return shlex.split(plugin.get_submit_command(job, params) + plugin.set_gres_string(job))


def test_each_way_to_ask_for_a_gpu_gives_one(cluster):
    step = (
        "env -i PATH=$PATH SLURM_CONF=$SLURM_CONF SLURM_JOB_ID=$SLURM_JOB_ID "
        "srun -n1 --cpus-per-task=1 --nodes=1 true"
    )
    jobs = {
        form: cluster.tell(*submitted(resources), "--wrap", step).strip()
        for form, resources in FORMS.items()
    }
    tasks = cluster.tasks
    wait_for(lambda: all("epilog" in tasks().get((job, "0"), ()) for job in jobs.values()), "steps")
    got = {form: tasks()[job, "0"]["devices"] for form, job in jobs.items()}
    assert got["type"] == got["gres with a type"] == "1"
    assert got["dash"] == "0"
    assert {got["any"], got["gres"]} <= {"0", "1"}


@pytest.mark.parametrize(
    ("resources", "problem"),
    [
        ({"gpu": 1, "gpu_model": "a100-80gb"}, "Invalid GPU model format: a100-80gb"),
        ({"gpu": 0, "gres": "gpu:a100-80gb:1"}, "Invalid GRES format: gpu:a100-80gb:1"),
        ({"slurm_extra": "--gres=gpu:1"}, "is not allowed in the 'slurm_extra' parameter"),
    ],
)
def test_a_request_that_the_plugin_refuses_is_known_before_the_first_job(resources, problem):
    job = SimpleNamespace(rule=SimpleNamespace(name="embed_shard"), resources=Resources(resources))
    assert problem in gpu_problem(plugin, [job])


def test_sbatch_refuses_gpu_beside_a_type_and_the_run_does_before_it(cluster):
    resources = Resources(gpu=1, slurm_extra="--gpus-per-node=a100-80gb:1")
    job = SimpleNamespace(rule=SimpleNamespace(name="embed_shard"), resources=resources)
    assert "names a type of GPU: set gpu: 0" in gpu_problem(plugin, [job])
    assert not cluster.ask(*submitted(resources), "--wrap", "true")


@pytest.mark.long
def test_a_type_of_gpu_whose_name_has_a_dash(flow, cluster):
    form = flow.profile("gpu: 0", 'slurm_extra: "--gpus-per-node=a100-80gb:1"')
    flow.end(flow.submit(DATASET, *form))
    assert flow.dataset() == flow.expected
    assert flow.claimed() == {"0"}


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
