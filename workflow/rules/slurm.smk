# What a run on SLURM needs beyond its profile, so that it ends: finished, or with a clear error. No
# rules.
#
# The executor plugin, as it is, waits for ever and says nothing where status queries fail for a
# while, where a job is gone from SLURM's memory before it was seen to end, and where a preempted job
# is not requeued. Only the process that submits jobs comes here, when it starts.

import asyncio
import re
import subprocess

SLURM_PLUGIN = "2.8.0"
# Seconds that a job may be unknown to SLURM, or preempted and not requeued, before it counts as ended.
SLURM_PATIENCE = 60
SLURM_ASK_AGAIN = 5


def prepare_slurm():
    """Under the SLURM executor: fit its settings to the cluster, and watch its jobs."""
    if workflow.executor_plugin.name != "slurm":
        return
    import snakemake_executor_plugin_slurm as plugin

    problem = slurm_problem(workflow.executor_settings)
    if problem:
        sys.exit(f"slurm error: {problem}")
    if workflow.executor_settings.status_command == "squeue":
        # The plugin turns to sacct by itself while the controller is away.
        plugin.query_job_status_sacct = plugin.query_job_status_squeue
    watch = SlurmWatch(plugin)
    plugin.query_job_status = watch.query
    plugin.Executor.check_active_jobs = watch.checked(plugin.Executor.check_active_jobs)


def slurm_problem(settings):
    """Choose the status command; what stands in the way of a run, in a line, or None."""
    from importlib.metadata import version

    installed = version("snakemake-executor-plugin-slurm")
    if installed != SLURM_PLUGIN:
        return (
            f"snakemake-executor-plugin-slurm {installed} is installed and {SLURM_PLUGIN} needed: "
            "pip install -r envs/requirements-slurm.txt"
        )
    if settings.array_jobs:
        return (
            f"slurm-array-jobs: {settings.array_jobs}: the plugin waits for ever where there are "
            "more shards than `jobs`; leave it out"
        )
    answer = slurm_says("scontrol", "show", "config")
    if answer.returncode:
        return f"scontrol does not reach the controller: {last_line(answer.stderr)}"
    if settings.status_command == "squeue":
        return squeue_problem(settings, answer.stdout)
    answer = slurm_says("sacct", "--noheader", "--allocations", "--name", "none")
    if not answer.returncode:
        return None
    print(f"slurm: no sacct here ({last_line(answer.stderr)}): status by squeue", file=sys.stderr)
    settings.status_command = "squeue"
    return squeue_problem(settings, slurm_says("scontrol", "show", "config").stdout)


def squeue_problem(settings, config):
    """Ask often enough that squeue still shows a job that ended; None, or why that cannot be."""
    # The plugin's own rule: the first interval is at most a third of MinJobAge.
    found = re.search(r"^MinJobAge\s*=\s*(\d+)", config, re.M)
    longest = int(found[1]) // 3 if found else settings.init_seconds_before_status_checks
    if longest < 1:
        return f"MinJobAge = {found[1]}: squeue forgets jobs at once, and sacct is needed"
    settings.init_seconds_before_status_checks = min(
        settings.init_seconds_before_status_checks, longest
    )
    return None


def slurm_says(*command):
    """Output and errors of a command of SLURM; one that is not there or hangs is a failed one."""
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        return subprocess.CompletedProcess(command, 1, "", str(error))


def last_line(text):
    """Last line of a text that is not empty."""
    return (text.strip().splitlines() or ["no message"])[-1]


class SlurmWatch:
    """Answers of status queries, completed so that every job of the run comes to an end."""

    def __init__(self, plugin):
        self.ask = plugin.query_job_status
        self.executor, self.jobs, self.since = None, [], {}

    def checked(self, original):
        """The plugin's check of its jobs, which also tells this watch what they are."""

        async def check_active_jobs(executor, active_jobs):
            self.executor = executor
            self.jobs = [job.external_jobid for job in active_jobs]
            async for job in original(executor, active_jobs):
                yield job

        return check_active_jobs

    async def query(self, command, logger):
        """States by job, and the seconds that the query took; asked until SLURM answers."""
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
                    f"every {SLURM_ASK_AGAIN} s until it does."
                )
            failures += 1
            await asyncio.sleep(SLURM_ASK_AGAIN)

    def completed(self, states, logger):
        """The states, with those of jobs that SLURM will not say more about."""
        for job in self.jobs:
            state = states.get(job)
            if state not in (None, "PREEMPTED", "NODE_FAIL"):
                self.since.pop(job, None)
                continue
            waited = time.monotonic() - self.since.setdefault(job, time.monotonic())
            if waited < SLURM_PATIENCE:
                continue
            if state is not None:
                logger.warning(f"SLURM job {job}: {state} and not requeued; it counts as failed.")
                states[job] = "CANCELLED"
            elif not self.executor._submitted_job_clusters and slurm_forgot(job):
                logger.warning(f"SLURM no longer knows job {job}; its outputs say how it ended.")
                # The plugin takes this for success; Snakemake then looks for the outputs.
                states[job] = "UNKNOWN"
        return states


def slurm_forgot(job):
    """Whether the controller, of this cluster, answers that it has no such job."""
    answer = slurm_says("squeue", "--noheader", "--states=all", "--jobs", job)
    return bool(answer.returncode) and "Invalid job id" in answer.stderr
