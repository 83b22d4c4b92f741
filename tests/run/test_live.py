"""A run on the terminal: its jobs, its line of progress, and what a child says."""

import logging
import signal
import sys
import textwrap
import time
from pathlib import Path

import pytest
import run_workflow
from evo2_embed.run.live import Jobs, failure_lines, progress_line
from evo2_embed.run.status import ShardStates
from snakemake_interface_logger_plugins.common import LogEvent
from snakemake_logger_plugin_evo2_embed import event_of

HUMAN = 6_200_000_000


def record(text="", level=logging.INFO, **extra):
    """A record as Snakemake logs it."""
    made = logging.LogRecord("snakemake", level, "", 0, text, (), None)
    vars(made).update(extra)
    return made


def test_jobs_are_counted_from_the_events_of_snakemake():
    jobs = Jobs()
    for said in (
        record(event=LogEvent.PROGRESS, done=1, total=30),
        record(event=LogEvent.JOB_INFO, jobid=4, rule_name="embed_shard"),
        record(event=LogEvent.JOB_INFO, jobid=5, rule_name="chunk_fasta"),
        record(event=LogEvent.JOB_INFO, jobid=6, rule_name="chunk_fasta"),
        record(event=LogEvent.JOB_FINISHED, job_id=6),
    ):
        assert jobs.take(event_of(said)) == []
    assert (jobs.running, jobs.done, jobs.total) == ({4: "embed_shard", 5: "chunk_fasta"}, 1, 30)
    failed = record(event=LogEvent.JOB_ERROR, jobid=5, rule_name="chunk_fasta", log=[])
    (line,) = jobs.take(event_of(failed))
    assert line.startswith("FAIL  chunk_fasta: ended without a message; it may have been killed")
    assert 5 not in jobs.running
    assert jobs.failed == 1


def test_warnings_and_errors_are_shown_and_the_rest_is_not():
    jobs = Jobs()
    assert event_of(record("Building DAG of jobs...")) is None
    assert event_of(record(event=LogEvent.SHELLCMD)) is None
    assert event_of(record("RuleException:\nCalledProcessError", logging.ERROR)) is None
    shown = [
        jobs.take(event_of(record(text, level)))
        for text, level in (
            ("SLURM run ID: 1-2-3", logging.INFO),
            ("odd", logging.WARNING),
            ("no such target", logging.ERROR),
        )
    ]
    assert shown == [["SLURM run ID: 1-2-3"], ["odd"], ["no such target"]]
    jobs.failed = 1
    assert jobs.take(event_of(record("Exiting because a job failed", logging.ERROR))) == []


def test_each_error_of_a_failed_job_is_one_line_with_its_log(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    log = Path("logs/chunk_fasta/a.log")
    log.parent.mkdir(parents=True)
    log.write_text("2026-11-24 10:00:00 ERROR a.fa: is cut\n2026-11-24 10:00:00 ERROR b.fa: gone\n")
    assert failure_lines("chunk_fasta", [str(log), "slurm.log"]) == [
        "FAIL  chunk_fasta a: a.fa: is cut (logs/chunk_fasta/a.log, slurm.log)",
        "FAIL  chunk_fasta a: b.fa: gone (logs/chunk_fasta/a.log, slurm.log)",
    ]
    log.write_text("2026-11-24 10:00:00 ERROR stopped by SIGINT: 9 of 90 tokens are saved\n")
    (line,) = failure_lines("embed_shard", [str(log)])
    assert line.startswith("WARN  embed_shard a: stopped by SIGINT: 9 of 90")


RUNNING = {
    "running": 9,
    "waiting": 111,
    "tokens": HUMAN,
    "tokens_done": 1.3e9,
    "stage": "first pack",
}


@pytest.mark.parametrize(
    ("jobs", "states", "line"),
    [
        (Jobs(), [], "starting"),
        (
            Jobs({1: "chunk_fasta", 2: "chunk_fasta", 3: "list_genomes"}, 2, 30),
            [ShardStates(waiting=2, tokens=HUMAN)],
            "0.0% of 6.2 G tokens, chunk_fasta x 2, list_genomes, 2 of 30 jobs done",
        ),
        (
            Jobs({1: "embed_shard"}, 7, 30),
            [ShardStates(**RUNNING)],
            "21.0% of 6.2 G tokens, first pack, 9 shards running, 7 of 30 jobs done",
        ),
        (
            Jobs(dict.fromkeys(range(9), "embed_shard"), 123, 1234),
            [ShardStates(**RUNNING, total_speed=123_456.7)],
            "21.0% of 6.2 G tokens, 123,457 tokens/s, 11 h 02 min left, 9 shards running, "
            "123 of 1,234 jobs done",
        ),
        (
            Jobs({1: "write_report"}, 29, 30),
            [ShardStates(done=2, tokens=194_000, tokens_done=194_000)],
            "100.0% of 194 k tokens, write_report, 29 of 30 jobs done",
        ),
    ],
)
def test_one_line_shows_tokens_speed_time_left_and_the_jobs(jobs, states, line):
    assert progress_line(jobs, states) == line
    assert len(line) < 100


def child(body):
    """A command that stands for Snakemake; `say` sends an event."""
    start = """
        import json, os, signal, sys, time
        def say(**event):
            os.write(int(os.environ["EVO2_EMBED_EVENTS"]), (json.dumps(event) + "\\n").encode())
    """
    return [sys.executable, "-c", textwrap.dedent(start) + textwrap.dedent(body)]


@pytest.fixture
def followed(monkeypatch, tmp_path, capfd):
    """A function that follows a child to its end: its exit status, and the lines that it showed."""
    monkeypatch.chdir(tmp_path)
    before = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}

    def follow(body):
        status = run_workflow.Run(child(body)).follow()
        return status, capfd.readouterr().err.splitlines()

    yield follow
    for number, handler in before.items():
        signal.signal(number, handler)


def test_the_status_of_snakemake_is_kept_and_errors_of_jobs_are_shown_once(followed):
    status, lines = followed("""
        print("warning: contexts", flush=True)
        print("error: a.fa: is cut", file=sys.stderr, flush=True)
        say(failed=3, rule="chunk_fasta", logs=[])
        say(text="WorkflowError: at least one job")
        sys.exit(7)
    """)
    assert status == 7
    assert "warning: contexts" in lines
    assert not any("is cut" in line or "at least one job" in line for line in lines)
    assert sum(line.startswith("FAIL  chunk_fasta: ") for line in lines) == 1
    assert followed("os.kill(os.getpid(), 9)")[0] == 128 + signal.SIGKILL


def test_ctrl_c_reaches_snakemake_once_and_it_ends_in_order(followed):
    status, lines = followed("""
        def stop(*_):
            print("saved work is kept", flush=True)
            sys.exit(1)
        signal.signal(signal.SIGINT, stop)
        os.kill(os.getppid(), signal.SIGINT)
        time.sleep(60)
    """)
    assert status == 1
    assert [line for line in lines if "stopping" in line or "kept" in line] == [
        "stopping: embedding jobs finish their pack and save their work ...",
        "saved work is kept",
    ]


def test_a_job_that_outlives_snakemake_is_not_waited_for(followed):
    started = time.monotonic()
    assert followed('import subprocess; subprocess.Popen(["sleep", "30"])')[0] == 0
    assert time.monotonic() - started < 20


def test_a_terminal_has_one_line_and_a_file_has_a_line_now_and_then(capfd, monkeypatch):
    plain = run_workflow.Terminal()
    for share in (0.0, 0.05, 0.08, 0.1, 0.15, 0.99):
        plain.show(f"{share:.0%}", share)
    assert capfd.readouterr().err.split() == ["0%", "10%", "99%"]
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    live = run_workflow.Terminal()
    live.show("x" * 500, 0.1)
    live.say("warning")
    live.end()
    clear, width = "\r\x1b[K", run_workflow.shutil.get_terminal_size((100, 24)).columns - 1
    line = "x" * width
    assert capfd.readouterr().err == f"{clear}{line}{clear}warning\n{line}{clear}"


def test_the_command_extends_the_configuration_and_uses_all_cores_or_a_profile(monkeypatch):
    monkeypatch.setattr(run_workflow, "visible_gpus", lambda: ["a", "b"])
    start = [sys.executable, "-m", "snakemake", "-s", str(run_workflow.SNAKEFILE)]
    logger = ["--logger", "evo2-embed"]
    assert run_workflow.command_of("m.yaml", None, ["--forceall"]) == [
        *start,
        *logger,
        *("--configfile", "m.yaml", "--resources", "gpu=2", "--cores", "all", "--forceall"),
    ]
    assert run_workflow.command_of(None, "profiles/slurm", []) == [
        *start,
        *logger,
        *("--workflow-profile", "profiles/slurm"),
    ]
    assert "--logger" not in run_workflow.command_of(None, None, ["-n"])
