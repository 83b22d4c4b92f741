"""The private cluster, and whether there can be one."""

import importlib.util
import os
import signal

import pytest
from cluster import Cluster, missing_commands
from runs import Workflow, random_bases, write_fasta
from slurm_runs import DATASET, placed


def obstacle():
    """Why there can be no cluster in this run of the tests, or None."""
    if missing_commands():
        return f"{', '.join(missing_commands())} missing; `make test-slurm` installs them on Debian"
    if os.geteuid() != 0:
        return "a private SLURM needs root"
    if importlib.util.find_spec("snakemake_executor_plugin_slurm") is None:
        return "run by `make test-slurm`, in an environment with the executor plugin"
    return None


def pytest_configure():
    reason = obstacle()
    if reason:
        raise pytest.UsageError(f"the SLURM tests cannot run: {reason}")
    # So that the cluster is taken down when the tests are ended from outside.
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    with Cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """A folder to copy, with two shards to embed; and the dataset that a local run makes of it."""
    flow = Workflow(tmp_path_factory.mktemp("small") / "flow")
    write_fasta(flow.folder / "one.fa", [("one", random_bases(3_000, 1))])
    flow.sheet({"one": "one.fa"})
    flow.configure(
        sharding={"shards": 2},
        extractions={"default": {"layers": ["norm"]}},
        compare={"rows": 10, "control": 4},
        burn_in={"length": 1024, "starts": 2},
    )
    flow.run("--until", "pack_tokens", "fetch_model")
    local = flow.copy_to(flow.folder.parent / "local")
    local.run(DATASET)
    return flow, local.dataset()


@pytest.fixture
def flow(small, cluster, tmp_path):
    """The small folder on the cluster."""
    with placed(small, tmp_path / "flow", cluster) as flow:
        yield flow
