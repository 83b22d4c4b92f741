"""Two nodes and accounting: states come from sacct, and one node fails in the middle of a run."""

import pytest
from cluster import ACCOUNTING_COMMANDS, Cluster, missing_commands
from slurm_runs import DATASET, placed, running

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def two_nodes(tmp_path_factory):
    missing = missing_commands(ACCOUNTING_COMMANDS)
    assert not missing, f"apt-get install mariadb-server slurmdbd: {', '.join(missing)} missing"
    with Cluster(tmp_path_factory.mktemp("accounting"), accounting=True) as cluster:
        yield cluster


def records(cluster, job):
    """State and node of each attempt at a job, from the accounting."""
    text = cluster.tell("sacct", "--jobs", job, "--allocations", "--duplicates", "--noheader",
                        "--parsable2", "--format", "State,NodeList")  # fmt: skip
    return [tuple(line.split("|")) for line in text.splitlines()]


def embedding_jobs(cluster, before):
    """The embedding jobs that the controller remembers, without those from before."""
    jobs = {job["JobId"]: job for job in cluster.jobs()}
    return {
        number: job
        for number, job in jobs.items()
        if number not in before and job.get("Comment", "").startswith("rule_embed_shard")
    }


def on_node(cluster, jobs, node):
    """The one of these jobs that runs on a node."""
    (job,) = [x["JobId"] for x in cluster.jobs() if x["JobId"] in jobs and x["NodeList"] == node]
    return job


def test_a_job_whose_node_dies_runs_on_the_other_one(small, two_nodes, tmp_path):
    """SLURM requeues it, and lets it start two minutes later. sacct shows NODE_FAIL until then."""
    with placed(small, tmp_path / "flow", two_nodes) as flow:
        process = flow.submit(DATASET)
        jobs = running(two_nodes, 2)
        lost = on_node(two_nodes, jobs, "two")
        two_nodes.kill_node("two")
        output = flow.end(process)
        assert "no sacct here" not in output
        assert f"SLURM job {lost}: NODE_FAIL; SLURM has requeued it." in output
        assert set(embedding_jobs(two_nodes, ())) == set(jobs)  # none was submitted again
        assert records(two_nodes, lost) == [("NODE_FAIL", "two"), ("COMPLETED", "one")]
        assert flow.dataset() == flow.expected
    two_nodes.start_node("two")


def test_a_job_that_is_not_requeued_is_submitted_again(small, two_nodes, tmp_path):
    """An administrator takes its node down; the new job avoids that node."""
    before = embedding_jobs(two_nodes, ())
    with placed(small, tmp_path / "flow", two_nodes) as flow:
        profile = flow.profile("gpu: 1", requeue=False)
        process = flow.submit(DATASET, *profile)
        jobs = running(two_nodes, 2)
        lost = on_node(two_nodes, jobs, "two")
        two_nodes.tell("scontrol", "update", "NodeName=two", "State=DOWN", "Reason=broken")
        flow.end(process)
        assert records(two_nodes, lost) == [("NODE_FAIL", "two")]
        (again,) = set(embedding_jobs(two_nodes, before)) - set(jobs)
        assert records(two_nodes, again) == [("COMPLETED", "one")]
        assert flow.dataset() == flow.expected
