"""What a run on SLURM needs beyond its profile, with stand-ins for SLURM and its plugin."""

import asyncio
import re
import subprocess
from types import SimpleNamespace

import pytest
import slurm_watch
from slurm_watch import (
    SlurmWatch,
    allocation_warning,
    ask,
    forgotten,
    gpu_problem,
    last_line,
    prepare,
    squeue_problem,
)
from snakemake_interface_common.exceptions import WorkflowError

CONFIG = "Configuration data as of 2026\nMinJobAge = 300 sec\n"


class Logger:
    """Keeps the warnings."""

    def __init__(self):
        self.said = []

    def warning(self, line):
        self.said.append(line)


@pytest.fixture
def logger():
    return Logger()


@pytest.fixture
def plugin(monkeypatch):
    """A stand-in for the executor plugin, of the version that is needed; its settings."""
    monkeypatch.setattr(slurm_watch, "version", lambda name: slurm_watch.PLUGIN_VERSION)

    async def check_active_jobs(executor, jobs):
        for job in jobs:
            yield job

    async def squeue(command, logger):
        return {"1": "RUNNING"}, 0.1

    return SimpleNamespace(
        __name__="plugin",
        Executor=SimpleNamespace(check_active_jobs=check_active_jobs),
        query_job_status=squeue,
        query_job_status_sacct="sacct",
        query_job_status_squeue="squeue",
    )


def settings(command="sacct", array_jobs=None, seconds=40):
    return SimpleNamespace(
        status_command=command, array_jobs=array_jobs, init_seconds_before_status_checks=seconds
    )


@pytest.fixture
def answer(monkeypatch):
    """A function that sets what commands of SLURM answer: by name, their text, or None."""

    def answer(**answers):
        def run(command, **_):
            text = answers[command[0]]
            out, errors = (text, "") if text is not None else ("", f"no\n{command[0]}: is down\n\n")
            return subprocess.CompletedProcess(command, int(text is None), out, errors)

        monkeypatch.setattr(subprocess, "run", run)

    return answer


def test_with_accounting_the_settings_stay(plugin, answer):
    answer(scontrol=CONFIG, sacct="")
    chosen = settings()
    assert prepare(plugin, chosen) is None
    assert chosen == settings()
    assert plugin.query_job_status_sacct == "sacct"


def test_without_accounting_the_status_comes_from_squeue(plugin, answer, capsys):
    answer(scontrol=CONFIG, sacct=None)
    chosen = settings(seconds=200)
    assert prepare(plugin, chosen) is None
    assert chosen == settings("squeue", seconds=100)
    assert plugin.query_job_status_sacct == "squeue"
    assert "slurm: no sacct here (sacct: is down): status by squeue" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("config", "before", "after"),
    [
        (CONFIG, 40, 40),
        (CONFIG, 400, 100),
        ("MinJobAge=9 sec", 40, 3),
        ("nothing", 40, 40),
    ],
)
def test_squeue_is_asked_before_it_forgets_a_job(plugin, answer, config, before, after):
    answer(scontrol=config)
    chosen = settings("squeue", seconds=before)
    assert prepare(plugin, chosen) is None
    assert chosen.init_seconds_before_status_checks == after


def test_a_squeue_that_forgets_at_once_is_refused():
    assert "squeue forgets jobs at once" in squeue_problem(settings("squeue"), "MinJobAge = 2 sec")


def test_a_run_that_would_hang_is_refused_and_nothing_is_changed(plugin, answer, monkeypatch):
    query = plugin.query_job_status
    answer(scontrol=None)
    assert (
        prepare(plugin, settings()) == "scontrol does not reach the controller: scontrol: is down"
    )
    answer(scontrol=CONFIG, sacct="")
    problem = prepare(plugin, settings(array_jobs="embed_shard"))
    assert problem.startswith("slurm-array-jobs: embed_shard")
    monkeypatch.setattr(slurm_watch, "version", lambda name: f"{name} 1")
    assert re.match("version plugin 1 .* 2.8.0 is needed", prepare(plugin, settings()))
    assert plugin.query_job_status is query


def asking(**resources):
    """A job of the embedding rule with these resources."""
    return SimpleNamespace(rule=SimpleNamespace(name="embed_shard"), resources=resources)


@pytest.fixture
def picky(plugin):
    """The plugin, which refuses dashes in the names of GPUs, in several lines."""

    def set_gres_string(job):
        if "-" in job.resources.get("gpu_model", ""):
            raise WorkflowError("Invalid GPU\n  model format")

    plugin.set_gres_string, plugin.validate_slurm_extra = set_gres_string, lambda job: None
    return plugin


@pytest.mark.parametrize(
    ("resources", "line"),
    [
        ({"gpu": 1, "gpu_model": "a-b"}, 'Invalid GPU model format .* "--gpus-per-node=NAME:1"'),
        ({"gpu": 0, "gpu_model": "ab"}, "gpu_model: ab with gpu: 0 asks for no GPU: set gpu: 1"),
        ({"gpu": 1, "gres": "gpu:ab:1"}, "refuses gpu: 1 beside gres: gpu:ab:1, .* set gpu: 0"),
        (
            {"gpu": 1, "slurm_extra": "--nice --gpus-per-task=a-b:1"},
            "refuses gpu: 1 beside slurm",
        ),
        ({}, None),
        ({"gpu": 1}, None),
        ({"gpu": 1, "gpu_model": "1g.10gb"}, None),
        ({"gpu": 0, "gres": "gpu:ab:1"}, None),
        ({"gpu": 1, "gres": "gpu:1", "slurm_extra": "--nice=100"}, None),
        ({"gpu": 0, "slurm_extra": "--gpus-per-node=a-b:1"}, None),
    ],
)
def test_a_request_for_gpus_that_would_be_refused_is_a_line(picky, answer, resources, line):
    problem = gpu_problem(picky, [asking(), asking(**resources)])
    assert problem is None if line is None else re.search(f"^embed_shard: .*{line}", problem)
    answer(scontrol=CONFIG, sacct="")
    assert prepare(picky, settings(), [asking(**resources)]) == problem


@pytest.mark.parametrize(("left", "shown"), [("1:59:00\n", "1:59:00"), (None, "unknown")])
def test_snakemake_inside_a_job_is_told_what_it_costs(answer, left, shown):
    answer(squeue=left)
    line = allocation_warning({"SLURM_JOB_ID": "77"}, "slurm")
    assert f"inside SLURM job 77 and stops when that job ends (time left: {shown})" in line
    assert "GPUs of job 77 stay idle" in line
    assert "\n" not in line


def test_a_local_run_inside_a_job_is_told_of_idle_nodes_only():
    inside = {"SLURM_JOB_ID": "77", "SLURM_JOB_NUM_NODES": "2"}
    assert "one of the 2 nodes of SLURM job 77" in allocation_warning(inside, "local")
    assert allocation_warning({**inside, "SLURM_JOB_NUM_NODES": "1"}, "local") is None
    assert allocation_warning({}, "slurm") is None


def test_a_missing_and_a_hanging_command_count_as_failed(monkeypatch):
    assert ask("no-such-command-here").returncode == 1

    def run(command, **options):
        raise subprocess.TimeoutExpired(command, options["timeout"])

    monkeypatch.setattr(subprocess, "run", run)
    assert "timed out" in ask("squeue").stderr


def test_the_last_line_is_the_message():
    assert last_line("one\ntwo\n\n") == "two"
    assert last_line("\n") == "no message"


def test_the_check_of_jobs_tells_the_watch_which_they_are(plugin, answer):
    answer(scontrol=CONFIG, sacct="")
    prepare(plugin, settings())
    jobs = [SimpleNamespace(external_jobid="7"), SimpleNamespace(external_jobid="8")]
    watch = plugin.query_job_status.__self__

    async def check():
        return [job async for job in plugin.Executor.check_active_jobs("executor", jobs)]

    assert asyncio.run(check()) == jobs
    assert (watch.executor, watch.jobs) == ("executor", ["7", "8"])


class Clock:
    """Time that a test sets."""

    now = 0.0

    def monotonic(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(slurm_watch, "time", clock)
    return clock


@pytest.fixture
def watch(plugin, clock):
    """A watch of job 7, on a single cluster."""
    watch = SlurmWatch(plugin)
    watch.executor = SimpleNamespace(wait=True, _submitted_job_clusters=set())
    watch.jobs = ["7"]
    return watch


def later(watch, clock, logger, states):
    """What the watch makes of a state that lasts longer than its patience."""
    assert watch.completed(dict(states), logger) == states
    clock.now += slurm_watch.PATIENCE - 1
    assert watch.completed(dict(states), logger) == states
    clock.now += 1
    return watch.completed(dict(states), logger)


@pytest.mark.parametrize("state", ["PREEMPTED", "NODE_FAIL"])
def test_a_job_that_is_not_requeued_counts_as_failed_in_the_end(
    watch, clock, logger, answer, state
):
    answer(squeue="")
    assert later(watch, clock, logger, {"7": state}) == {"7": "CANCELLED"}
    assert logger.said == [f"SLURM job 7: {state} and not requeued; it counts as failed."]


@pytest.mark.parametrize("state", ["PREEMPTED", "NODE_FAIL"])
@pytest.mark.parametrize("squeue", ["7 gpu PENDING", None])
def test_a_job_that_is_requeued_waits_whatever_sacct_says(
    watch, clock, logger, answer, state, squeue
):
    """Also while the controller does not answer. The plugin never sees the old state."""
    answer(squeue=squeue)
    assert watch.completed({"7": state}, logger) == {"7": "PENDING"}
    clock.now += 10 * slurm_watch.PATIENCE
    assert watch.completed({"7": state}, logger) == {"7": "PENDING"}
    assert logger.said == [f"SLURM job 7: {state}; SLURM has requeued it."]


@pytest.mark.parametrize(
    ("squeue", "clusters", "ends"), [(None, (), True), ("", (), False), (None, {"other"}, False)]
)
def test_a_job_that_slurm_does_not_know_ends_if_the_controller_says_so(
    watch, clock, logger, monkeypatch, squeue, clusters, ends
):
    def run(command, **_):
        error = "slurm_load_jobs error: Invalid job id specified" if squeue is None else ""
        return subprocess.CompletedProcess(command, int(squeue is None), "", error)

    monkeypatch.setattr(subprocess, "run", run)
    watch.executor._submitted_job_clusters = set(clusters)
    assert later(watch, clock, logger, {}) == ({"7": "UNKNOWN"} if ends else {})
    assert len(logger.said) == ends


def test_a_job_is_not_forgotten_while_the_controller_does_not_answer(answer):
    answer(squeue=None)
    assert not forgotten("7")


def test_a_job_that_comes_back_gets_its_whole_time_again(watch, clock, logger, answer):
    answer(squeue="")
    assert watch.completed({"7": "PREEMPTED"}, logger) == {"7": "PREEMPTED"}
    clock.now += slurm_watch.PATIENCE
    assert watch.completed({"7": "RUNNING"}, logger) == {"7": "RUNNING"}
    assert watch.completed({"7": "PREEMPTED"}, logger) == {"7": "PREEMPTED"}
    assert not logger.said


def failing(watch, monkeypatch, failures):
    """Let this many queries fail; no time passes between them."""
    left = iter([None] * failures)
    asked = []

    async def query(command, logger):
        asked.append(command)
        return next(left, {"7": "COMPLETED"}), 0.5

    async def sleep(seconds):
        assert seconds == slurm_watch.ASK_AGAIN

    watch.ask = query
    monkeypatch.setattr(asyncio, "sleep", sleep)
    return asked


def test_slurm_is_asked_until_it_answers_and_says_so_now_and_then(watch, logger, monkeypatch):
    asked = failing(watch, monkeypatch, 61)
    assert asyncio.run(watch.query("squeue --me", logger)) == ({"7": "COMPLETED"}, 0.5)
    assert len(asked) == 62
    assert len(logger.said) == 2
    assert logger.said[0].startswith("SLURM does not answer (squeue).")


def test_an_answer_without_jobs_is_an_answer(watch, logger):
    async def query(command, logger):
        return {}, 0.5

    watch.ask = query
    assert asyncio.run(watch.query("squeue --me", logger)) == ({}, 0.5)


def test_a_run_that_is_being_stopped_asks_no_more(watch, logger, monkeypatch):
    failing(watch, monkeypatch, 5)
    watch.executor.wait = False
    assert asyncio.run(watch.query("squeue --me", logger)) == ({}, 0.0)
    assert not logger.said
