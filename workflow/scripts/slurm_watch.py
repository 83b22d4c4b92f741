"""What a run on SLURM needs beyond its profile, so that it ends: finished, or with a clear error.

Without it, the executor plugin waits for ever and says nothing in three cases: status queries fail
for a while; a job is gone from SLURM's memory before it was seen to end; a preempted job is not
requeued. A request for GPUs that SLURM would refuse is an error before the first job. Only the
process that submits jobs calls this, when it starts.
"""

import asyncio
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from importlib.metadata import version

from snakemake_interface_common.exceptions import WorkflowError

PLUGIN_VERSION = "2.8.0"
# Seconds that a job may be unknown to SLURM, or preempted and not requeued, before it has ended.
PATIENCE = 60
ASK_AGAIN = 5  # seconds between two queries while SLURM does not answer
# How gres and slurm_extra ask for GPUs: a number, or a type and a number.
GPU_OPTION = re.compile(r"(?:^gpu:|--gpus-per-\w+[= ])(\S+)")
OTHER_NAMES = (
    "For a GPU whose name has other characters than letters, digits, _ and ., set gpu: 0 and "
    'slurm_extra: "--gpus-per-node=NAME:1".'
)


def prepare(plugin, settings, jobs=()) -> str | None:
    """Fit the executor's settings to the cluster, and watch its jobs.

    Parameters
    ----------
    plugin : module
        The executor plugin. Its queries and its check of jobs are replaced.
    settings : ExecutorSettings
        Its settings. The command for the status, and the time before the first query, may change.
    jobs : iterable of Job
        Jobs that the run will submit.

    Returns
    -------
    str or None
        What prevents a run, in one line.
    """
    problem = _problem(plugin, settings) or gpu_problem(plugin, jobs)
    if problem:
        return problem
    if settings.status_command == "squeue":
        # The plugin turns to sacct by itself while the controller is away.
        plugin.query_job_status_sacct = plugin.query_job_status_squeue
    watch = SlurmWatch(plugin)
    plugin.query_job_status = watch.query
    plugin.Executor.check_active_jobs = watch.checked(plugin.Executor.check_active_jobs)
    return None


def _problem(plugin, settings) -> str | None:
    """Choose the status command; what prevents a run, in one line, or None."""
    installed = version(plugin.__name__)
    if installed != PLUGIN_VERSION:
        return (
            f"version {installed} of the executor plugin is installed, but {PLUGIN_VERSION} is "
            "needed: pip install -r envs/requirements-slurm.txt"
        )
    if settings.array_jobs:
        return (
            f"slurm-array-jobs: {settings.array_jobs}: with more shards than `jobs`, the plugin "
            "waits for ever; leave it out"
        )
    answer = ask("scontrol", "show", "config")
    if answer.returncode:
        return f"scontrol does not reach the controller: {last_line(answer.stderr)}"
    if settings.status_command == "squeue":
        return squeue_problem(settings, answer.stdout)
    accounting = ask("sacct", "--noheader", "--allocations", "--name", "none")
    if not accounting.returncode:
        return None
    reason = last_line(accounting.stderr)
    print(f"slurm: no sacct here ({reason}): status by squeue", file=sys.stderr)
    settings.status_command = "squeue"
    return squeue_problem(settings, answer.stdout)


def gpu_problem(plugin, jobs) -> str | None:
    """Why the plugin or SLURM would refuse how a rule asks for GPUs, in one line, or None."""
    for rule, job in {job.rule.name: job for job in jobs}.items():
        asked = job.resources
        refusal = refused(plugin.validate_slurm_extra, job)
        if refusal:
            return f"{rule}: {refusal}"
        refusal = refused(plugin.set_gres_string, job)
        if refusal:
            return f"{rule}: {refusal} {OTHER_NAMES}"
        if asked.get("gpu_model") and not asked.get("gpu", 1):
            return (
                f"{rule}: gpu_model: {asked['gpu_model']} with gpu: 0 asks for no GPU: set gpu: 1"
            )
        for key in ("gres", "slurm_extra"):
            found = GPU_OPTION.search(str(asked.get(key) or ""))
            typed = found and not found[1].isdecimal()
            if typed and asked.get("gpu") and not asked.get("gpu_model"):
                return (
                    f"{rule}: SLURM refuses gpu: {asked['gpu']} beside {key}: {asked[key]}, which "
                    "names a type of GPU: set gpu: 0"
                )
    return None


def refused(check, job) -> str:
    """The error of one of the plugin's checks of a job, in one line; empty if there is none."""
    try:
        check(job)
    except WorkflowError as error:
        return " ".join(str(error).split())
    return ""


def squeue_problem(settings, config: str) -> str | None:
    """Query so often that squeue still shows a job that ended; None, or why this is impossible."""
    # The plugin's own rule: the first interval is at most a third of MinJobAge.
    found = re.search(r"^MinJobAge\s*=\s*(\d+)", config, re.M)
    longest = int(found[1]) // 3 if found else settings.init_seconds_before_status_checks
    if longest < 1:
        return f"MinJobAge = {found[1]}: squeue forgets jobs at once, so sacct is needed"
    settings.init_seconds_before_status_checks = min(
        settings.init_seconds_before_status_checks, longest
    )
    return None


def allocation_warning(started_in: Mapping[str, str], executor: str) -> str | None:
    """What it costs that Snakemake itself runs in an allocation of SLURM, in one line, or None.

    Parameters
    ----------
    started_in : mapping of str to str
        Environment that Snakemake was started in.
    executor : str
        Name of the executor plugin.
    """
    job = started_in.get("SLURM_JOB_ID")
    if job and executor == "slurm":
        left = ask("squeue", "--noheader", "--jobs", job, "--format", "%L").stdout.strip()
        return (
            f"Snakemake runs inside SLURM job {job} and stops when that job ends (time left: "
            f"{left or 'unknown'}). The CPUs, memory and GPUs of job {job} stay idle, because the "
            "run submits its own jobs: start it on a login node, without srun or salloc"
        )
    nodes = started_in.get("SLURM_JOB_NUM_NODES", "1")
    if job and nodes != "1":
        return (
            f"Snakemake uses one of the {nodes} nodes of SLURM job {job}; the others stay idle: "
            "ask for one node, or use --workflow-profile profiles/slurm on a login node"
        )
    return None


def ask(*command: str) -> subprocess.CompletedProcess:
    """Output and errors of a command of SLURM. A missing or hanging command counts as failed."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, 1, "", str(error))


def last_line(text: str) -> str:
    """Last line of a text that is not empty."""
    return (text.strip().splitlines() or ["no message"])[-1]


class SlurmWatch:
    """Answers of status queries, completed so that every job of the run comes to an end."""

    def __init__(self, plugin):
        self.ask = plugin.query_job_status
        self.executor, self.jobs, self.since, self.requeued = None, [], {}, set()

    def checked(self, original):
        """The plugin's check of its jobs, which also tells this watch what they are."""

        async def check_active_jobs(executor, active_jobs):
            self.executor = executor
            self.jobs = [job.external_jobid for job in active_jobs]
            async for job in original(executor, active_jobs):
                yield job

        return check_active_jobs

    async def query(self, command, logger):
        """States by job, and the seconds of the query; asked until SLURM answers."""
        failures = 0
        while True:
            states, seconds = await self.ask(command, logger)
            if states is not None:
                return self.completed(states, logger), seconds
            if not self.executor.wait:  # the run is being stopped
                return {}, 0.0
            if failures % 60 == 0:
                logger.warning(
                    f"SLURM does not answer ({command.split()[0]}). Jobs may go on; asking again "
                    f"every {ASK_AGAIN} s until it does."
                )
            failures += 1
            await asyncio.sleep(ASK_AGAIN)

    def completed(self, states, logger):
        """The states, with an end for jobs of which SLURM will say no more."""
        for job in self.jobs:
            state = states.get(job)
            if state in ("PREEMPTED", "NODE_FAIL") and queued(job):
                # sacct shows the old state until a requeued job may start, minutes later. The
                # plugin would exclude the node "None assigned", and then could submit no job.
                if job not in self.requeued:
                    logger.warning(f"SLURM job {job}: {state}; SLURM has requeued it.")
                self.requeued.add(job)
                states[job] = state = "PENDING"
            if state not in (None, "PREEMPTED", "NODE_FAIL"):
                self.since.pop(job, None)
                continue
            waited = time.monotonic() - self.since.setdefault(job, time.monotonic())
            if waited < PATIENCE:
                continue
            if state is not None:
                logger.warning(f"SLURM job {job}: {state} and not requeued; it counts as failed.")
                states[job] = "CANCELLED"
            elif not self.executor._submitted_job_clusters and forgotten(job):
                logger.warning(f"SLURM no longer knows job {job}; its outputs say how it ended.")
                # The plugin takes this for success; Snakemake then looks for the outputs.
                states[job] = "UNKNOWN"
        return states


def forgotten(job: str) -> bool:
    """Whether the controller of this cluster answers that it has no such job."""
    return unknown(ask("squeue", "--noheader", "--states=all", "--jobs", job))


def queued(job: str) -> bool:
    """Whether a job waits or runs again. True while the controller does not answer."""
    again = "--states=PENDING,CONFIGURING,RUNNING,SUSPENDED"
    answer = ask("squeue", "--noheader", again, "--jobs", job)
    return bool(answer.stdout.strip()) if not answer.returncode else not unknown(answer)


def unknown(answer: subprocess.CompletedProcess) -> bool:
    """Whether squeue answered that there is no such job."""
    return bool(answer.returncode) and "Invalid job id" in answer.stderr
