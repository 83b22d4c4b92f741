"""What goes wrong on a cluster around a run: it ends, with the dataset of an undisturbed run."""

import os
import shutil
import signal
import time

import pytest
from cluster import Cluster, wait_for
from slurm_runs import DATASET, placed, running

pytestmark = pytest.mark.long

NO_ANSWER = "SLURM does not answer (squeue)"


def test_no_controller_at_the_start_is_a_line(flow):
    conf = flow.folder / "slurm.conf"
    with open(flow.environment["SLURM_CONF"]) as file:
        conf.write_text(file.read().replace("SlurmctldPort=", "SlurmctldPort=1 #"))
    flow.environment = {**flow.environment, "SLURM_CONF": str(conf)}
    output = flow.end(flow.submit(), fails=True)
    assert "slurm error: scontrol does not reach the controller" in output
    assert not flow.files("shards/**/*.*")


def test_a_controller_that_is_away_for_a_while(flow, cluster):
    process = flow.submit(DATASET)
    running(cluster, 2)
    cluster.kill_controller()
    wait_for(lambda: NO_ANSWER in flow.log(), "a failed query", 120)
    cluster.start_controller()
    flow.end(process)
    assert flow.dataset() == flow.expected


def test_status_queries_that_fail_for_a_while(flow, cluster):
    commands, broken = flow.folder / "bin", flow.folder / "broken"
    commands.mkdir()
    real = shutil.which("squeue")
    cluster.script(commands / "squeue", f'#!/bin/sh\ntest -e {broken} && exit 1\n{real} "$@"\n')
    path = f"{commands}:{flow.environment['PATH']}"
    flow.environment = {**flow.environment, "PATH": path}
    process = flow.submit(DATASET)
    running(cluster, 2)
    broken.touch()
    wait_for(lambda: NO_ANSWER in flow.log(), "a failed query", 120)
    time.sleep(20)
    broken.unlink()
    flow.end(process)
    assert flow.dataset() == flow.expected


def test_stopped_while_status_queries_fail_it_ends(flow, cluster):
    process = flow.submit(DATASET)
    running(cluster, 2)
    cluster.kill_controller()
    try:
        wait_for(lambda: NO_ANSWER in flow.log(), "a failed query", 120)
        process.send_signal(signal.SIGINT)
        flow.end(process, fails=True, seconds=300)
    finally:
        cluster.start_controller()


def test_jobs_that_are_gone_before_they_were_seen_to_end(small, tmp_path):
    with (
        Cluster(tmp_path / "cluster", min_job_age=10) as cluster,
        placed(small, tmp_path / "flow", cluster) as flow,
    ):
        process = flow.submit(DATASET)
        jobs = running(cluster, 2)
        os.kill(process.pid, signal.SIGSTOP)
        wait_for(lambda: not cluster.jobs(), "SLURM to forget the jobs", 300)
        os.kill(process.pid, signal.SIGCONT)
        output = flow.end(process)
        assert f"SLURM no longer knows job {jobs[0]}" in output
        assert flow.dataset() == flow.expected


@pytest.mark.parametrize("mode", ["REQUEUE", "CANCEL"])
def test_jobs_that_are_preempted(small, tmp_path, mode):
    with (
        Cluster(tmp_path / "cluster", preempt_mode=mode) as cluster,
        placed(small, tmp_path / "flow", cluster) as flow,
    ):
        process = flow.submit(DATASET)
        jobs = running(cluster, 2)
        urgent = ("sbatch", "-p", "urgent", "--gpus=2", "-o", "/dev/null", "--wrap", "sleep 1")
        cluster.tell(*urgent)
        if mode == "REQUEUE":
            wait_for(lambda: len(cluster.embedding("PENDING")) == 2, "the requeue", 120)
            for job in jobs:  # SLURM itself would wait two minutes
                cluster.tell("scontrol", "update", f"JobId={job}", "StartTime=now")
        else:
            wait_for(lambda: cluster.embedding("PREEMPTED"), "the preemption", 120)
        output = flow.end(process)
        states = {job["JobId"]: (job["JobState"], job["Restarts"]) for job in cluster.jobs()}
        if mode == "REQUEUE":
            assert [states[job] for job in jobs] == [("COMPLETED", "1")] * 2
        else:
            assert "PREEMPTED and not requeued" in output
        assert flow.dataset() == flow.expected


def test_a_configuration_that_is_edited_in_mid_run(flow, cluster):
    process = flow.submit(DATASET)
    running(cluster, 1)
    flow.configure(windows={"size": 100}, extractions={"default": {"layers": ["blocks.2"]}})
    flow.end(process)
    assert flow.dataset() == flow.expected


def test_a_rerun_beside_the_jobs_of_a_killed_run(flow, cluster):
    process = flow.submit(DATASET)
    running(cluster, 2)
    process.kill()
    process.wait()
    flow.end(flow.submit("--unlock"))
    flow.end(flow.submit(DATASET))
    assert flow.dataset() == flow.expected
