"""The private cluster, and whether there can be one."""

import importlib.util
import os
import signal
import sys

import pytest
from cluster import Cluster, missing_commands, wait_for

from workflow import ROOT, Workflow, random_bases, write_fasta

# What is different here from the profile as it is: seconds instead of minutes.
QUICK = (
    *("--workflow-profile", str(ROOT / "profiles" / "slurm")),
    *("--slurm-init-seconds-before-status-checks", "3"),
    *("--max-status-checks-per-second", "1"),
    *("--latency-wait", "10"),
)


def obstacle():
    """Why there can be no cluster here, or None."""
    if importlib.util.find_spec("snakemake_executor_plugin_slurm") is None:
        return "they run by `make test-slurm`, with an environment of their own"
    if missing_commands():
        return f"no SLURM on this machine: {', '.join(missing_commands())} missing"
    if os.geteuid() != 0:
        return "a private SLURM needs root"
    return None


def pytest_collection_modifyitems(items):
    reason = obstacle()
    if reason:
        for item in items:
            if "slurm" in item.path.parts:
                item.add_marker(pytest.mark.skip(reason=f"SLURM tests: {reason}"))


def pytest_configure():
    # So that the cluster is taken down when the tests are ended from outside.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by SIGTERM"))


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    with Cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


class SlurmWorkflow(Workflow):
    """A working folder whose jobs run on the private cluster."""

    def submit(self, *arguments):
        """Start Snakemake on the cluster; the process. Its output goes to `run.log`."""
        with open(self.folder / "run.log", "w") as log:
            return self.start(*QUICK, *arguments, output=log)

    def end(self, process, fails=False, seconds=400):
        """Wait for its end; its output."""
        try:
            process.wait(seconds)
        finally:
            if process.poll() is None:
                print((self.folder / "run.log").read_text())
                process.kill()
                process.wait()
        output = (self.folder / "run.log").read_text()
        assert (process.returncode != 0) == fails, output
        return output


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """A folder to copy: a small genome in three shards; and its dataset by a local run."""
    flow = Workflow(tmp_path_factory.mktemp("small") / "flow")
    write_fasta(flow.folder / "one.fa", [("one", random_bases(3_000, 1))])
    flow.sheet({"one": "one.fa"})
    flow.configure(sharding={"shards": 3})
    local = flow.copy_to(flow.folder.parent / "local")
    local.run()
    return flow, local.dataset()


@pytest.fixture
def flow(small, cluster, tmp_path):
    """The small folder on the cluster, `expected` its dataset."""
    folder = tmp_path / "flow"
    small[0].copy_to(folder)
    flow = SlurmWorkflow.__new__(SlurmWorkflow)
    flow.folder, flow.environment, flow.expected = folder, cluster.environment, small[1]
    return flow


@pytest.fixture
def running(cluster):
    """A function that waits for embedding jobs whose own process runs; its ids."""

    def running(count=1):
        def found():
            return [job for job in cluster.embedding() if (job, "0") in cluster.tasks()]

        return wait_for(lambda: len(found()) >= count and found(), "embedding jobs", 120)

    return running
