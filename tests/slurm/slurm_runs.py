"""Runs of the workflow on a private cluster."""

import re
from contextlib import contextmanager

from cluster import wait_for
from runs import ROOT, SNAKEMAKE, Workflow

# Differences from the profile: seconds instead of minutes.
QUICK = (
    *("--workflow-profile", str(ROOT / "profiles" / "slurm")),
    *("--slurm-init-seconds-before-status-checks", "3"),
    *("--max-status-checks-per-second", "1"),
    *("--latency-wait", "10"),
)

# All but the report.
DATASET = "results/embeddings/default/manifest.json"


class SlurmWorkflow(Workflow):
    """A working folder whose jobs run on the private cluster."""

    def submit(self, *arguments, command=SNAKEMAKE):
        """Start Snakemake on the cluster; the process. Its output goes to `run.log`."""
        with open(self.folder / "run.log", "w") as log:
            self.processes.append(self.start(*QUICK, *arguments, output=log, command=command))
        return self.processes[-1]

    def profile(self, *lines, requeue=True):
        """Options for the profile with these lines instead of `gpu: 1` for embedding jobs."""
        text = (ROOT / "profiles" / "slurm" / "config.yaml").read_text()
        changed = re.sub(r"^( +)gpu: 1 .*", "\n".join(rf"\1{x}" for x in lines), text, flags=re.M)
        assert changed != text
        if not requeue:
            changed = changed.replace("slurm-requeue: true", "slurm-no-requeue: true")
        folder = self.folder / "profile"
        folder.mkdir()
        (folder / "config.yaml").write_text(changed)
        return "--workflow-profile", str(folder)

    def claimed(self):
        """GPUs that embedding jobs have used, by their logs."""
        logs = [path.read_text() for path in (self.folder / "logs" / "embed_shard").rglob("*.log")]
        return {re.search(r"this job uses GPU (\S+) ", text)[1] for text in logs}

    def log(self):
        """What the run has printed so far."""
        return (self.folder / "run.log").read_text()

    def end(self, process, fails=False, seconds=900):
        """Wait for its end; its output."""
        process.wait(seconds)
        output = self.log()
        assert (process.returncode != 0) == fails, output
        return output


@contextmanager
def placed(small, folder, cluster):
    """A copy of the small folder whose runs go to a cluster; none of them outlives the block."""
    small[0].copy_to(folder)
    flow = SlurmWorkflow.__new__(SlurmWorkflow)
    flow.folder, flow.environment, flow.expected = folder, cluster.environment, small[1]
    flow.processes = []
    try:
        yield flow
    finally:
        for process in flow.processes:
            if process.poll() is None:
                print(flow.log())
                process.kill()
                process.wait()
        cluster.ask("scancel", "--user=root")


def running(cluster, count):
    """Wait for embedding jobs whose own process runs; their ids."""

    def found():
        tasks = cluster.tasks()
        return [
            job
            for job in cluster.embedding()
            if "prolog" in tasks.get((job, "0"), ()) and "epilog" not in tasks[job, "0"]
        ]

    return wait_for(lambda: len(found()) >= count and found(), "embedding jobs", 400)
