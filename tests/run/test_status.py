"""How far a run is: from files as jobs leave them, made here by hand."""

import contextlib
import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
import show_status
from evo2_embed.embed.progress import Progress, ProgressFile, read_progress
from evo2_embed.io.errors import InputError
from evo2_embed.io.files import write_json
from evo2_embed.plan.rules import RULES
from evo2_embed.run.frozen import freeze, plan_run
from evo2_embed.run.status import errors_in, failures, shard_states
from evo2_embed.settings.exports import EXPORTS
from runs import SCRIPTS, random_bases, write_fasta
from variant_files import vcf_of

RESULTS, LOGS = Path("results"), Path("logs")
TRACEBACK = """2026-11-24 10:00:00 INFO started
Traceback (most recent call last):
  File "x.py", line 1, in <module>
    explode()
MemoryError: no room
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """A run of five shards of 1,000 tokens, frozen as at its start, in the working folder."""
    monkeypatch.chdir(tmp_path)
    write_fasta("a.fa", [("a", random_bases(5000, 1))])
    Path("sheet.tsv").write_text("genome\tfasta\na\ta.fa\n")
    config = {
        "genomes": "sheet.tsv",
        "windows": {"size": 100},
        "sharding": {"shards": 5},
        "extractions": {"x": {"layers": ["norm", "blocks.1"]}},
    }
    return started(config)


def started(config):
    """A run of a configuration, frozen as at its start."""
    run = plan_run(config)
    freeze(run, str(RESULTS / "run_config.yaml"))
    return run


def shard(number):
    return RESULTS / "shards" / "x" / "a" / f"{number:05d}"


def finish(run, number, seconds=2.0, settings=None):
    """Leave what a finished job leaves."""
    settings = settings or run.embed_settings("x")
    write_json(shard(number) / "speed.json", {"tokens": 1000, "seconds": seconds, "device": "cpu"})
    write_json(shard(number) / "shard.json", {"settings": settings, "n_tokens": 1000})


def begin(number, tokens):
    """Write the files of a job that has saved work; returns its log."""
    work = shard(number) / ".work"
    journal = {"key": "k", "packs": [], "tokens": tokens, "n_tokens": 1000, "seconds": 1.0}
    write_json(work / "journal.json", journal)
    return log_of(number)


def log_of(number):
    """An empty log of a job."""
    write_log(f"embed_shard/x/a/{number:05d}.log", "")
    return LOGS / f"embed_shard/x/a/{number:05d}.log"


def embedded(number, tokens, seconds, loaded=True):
    """What a running job says of itself."""
    file = ProgressFile(shard(number) / ".work")
    file.path.parent.mkdir(parents=True, exist_ok=True)
    file.show(Progress(tokens, 1000, seconds, loaded), at_once=True)


@contextlib.contextmanager
def alive(log):
    """Hold a log as a living job does."""
    with open(log, "r+") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def states(run):
    return shard_states(run, RESULTS, LOGS, "x", {"a": 5000})


def said_left(run):
    """What stands in the column of the time left."""
    return show_status.main(".", False).splitlines()[6].split("  ")[-1].strip()


def test_before_the_first_job(run):
    state = states(run)
    assert (state.done, state.running, state.interrupted, state.waiting) == (0, 0, 0, 5)
    assert (state.tokens_done, state.tokens, state.speed) == (0, 5000, None)
    assert state.seconds_left is None


def test_shards_are_done_running_interrupted_or_waiting(run):
    finish(run, 0)
    begin(1, 400)
    with alive(begin(2, 300)), alive(begin(3, 300)):
        state = states(run)
        text = show_status.main(".", False)
    assert (state.done, state.running, state.interrupted, state.waiting) == (1, 2, 1, 1)
    assert (state.tokens_done, state.tokens) == (2000, 5000)
    assert state.speed == 1600 / 4.0
    assert state.total_speed == 600
    assert state.seconds_left == 3000 / 600
    lines = text.splitlines()
    assert lines[2].split()[:7] == ["x", "1", "of", "5", "2", "1", "1"]
    assert lines[6].split()[:4] == ["x", "2,000", "of", "5,000"]
    assert "no job failed" in text


def test_a_shard_of_other_settings_is_not_done(run):
    finish(run, 0, settings={**run.embed_settings("x"), "code": -1})
    assert (states(run).done, states(run).waiting) == (0, 5)


def test_damaged_files_count_as_missing(run):
    finish(run, 0)
    (shard(0) / "shard.json").write_text('{"settings"')
    begin(1, 10)
    (shard(1) / ".work" / "journal.json").write_text("")
    assert (states(run).done, states(run).interrupted, states(run).waiting) == (0, 0, 5)


def test_a_job_at_work_that_has_saved_nothing_yet_is_running(run):
    log = log_of(0)
    with alive(log):
        state = states(run)
        assert (state.running, state.waiting, state.tokens) == (1, 4, 5000)
        assert said_left(run) == "loading the model"
    assert (states(run).running, states(run).waiting) == (0, 5)


def test_a_job_holds_its_log_until_it_ends(run):
    log = log_of(0)
    code = "from evo2_embed.run.job import _hold_log; _hold_log(); print(1, flush=True); input()"
    with open(log, "w") as output:
        job = subprocess.Popen(
            [sys.executable, "-c", code],
            stdin=subprocess.PIPE,
            stdout=output,
            env={**os.environ, "PYTHONPATH": str(SCRIPTS)},
        )
    while not log.read_text():
        assert job.poll() is None
        time.sleep(0.05)
    assert states(run).running == 1
    job.communicate(b"\n")
    assert (states(run).running, states(run).waiting) == (0, 5)


def test_a_running_job_shows_its_tokens_before_it_saves_them(run):
    with alive(log_of(0)), alive(log_of(1)):
        embedded(0, 0, 0.0, loaded=False)
        embedded(1, 0, 0.0)
        assert said_left(run) == "first pack"
        embedded(0, 100, 0.5)
        embedded(1, 500, 5.0)
        state = states(run)
        assert (state.tokens_done, state.tokens, state.total_speed) == (600, 5000, 300)
        assert state.seconds_left == 4400 / 300
        assert said_left(run) == "15 s"
        for number in range(5):
            embedded(number, 1000, 5.0)
        finish(run, 2)
        finish(run, 3)
        finish(run, 4)
        assert said_left(run) == "writing files"
    # The jobs are dead, and saved nothing.
    assert (states(run).running, states(run).interrupted, states(run).tokens_done) == (0, 0, 3000)


def test_the_file_of_the_progress_is_replaced_once_per_second_and_never_ends_a_job(tmp_path):
    file = ProgressFile(tmp_path)
    for tokens in (1, 2, 3):
        file.show(Progress(tokens, 9, 1.0, loaded=True))
    assert read_progress(tmp_path).tokens == 1
    file.show(Progress(4, 9, 1.0, loaded=True), at_once=True)
    assert read_progress(tmp_path).tokens == 4
    assert [path.name for path in tmp_path.iterdir()] == ["progress.json"]
    (tmp_path / "progress.json").write_text("{")
    assert read_progress(tmp_path) is None
    ProgressFile(tmp_path / "gone").show(Progress(1, 9, 1.0, loaded=True), at_once=True)


def test_datasets_count_when_they_are_younger_than_all_shards(run):
    embeddings = RESULTS / "embeddings" / "x"
    for number in range(4):
        finish(run, number)
    write_json(embeddings / "norm.json", {})
    assert states(run).datasets == 0
    finish(run, 4)
    os.utime(embeddings / "norm.json", (1, 1))
    assert states(run).datasets == 0
    write_json(embeddings / "norm.json", {})
    assert (states(run).datasets, states(run).layers) == (1, 2)
    assert states(run).seconds_left == 0


def write_log(path, text):
    (LOGS / path).parent.mkdir(parents=True, exist_ok=True)
    (LOGS / path).write_text(text)


def test_failures_are_jobs_whose_log_ends_in_an_error_and_whose_output_is_missing(run):
    write_log("chunk_fasta/a.log", "2026-11-24 10:00:00 INFO fine\n")
    write_log("pack_tokens/a/00000.log", "2026-11-24 10:00:00 ERROR a.fa: is no FASTA\n")
    for number in range(4):
        write_log(f"embed_shard/x/a/{number:05d}.log", TRACEBACK)
    finish(run, 0)
    with alive(begin(1, 10)):
        found = {failure.job: failure.error for failure in failures(run, RESULTS, LOGS)}
        text = show_status.main(".", False)
    assert found == {
        "pack_tokens a/00000": "a.fa: is no FASTA",
        "embed_shard x/a/00002": "MemoryError: no room",
        "embed_shard x/a/00003": "MemoryError: no room",
    }
    assert "3 job(s) failed" in text
    assert (
        "FAIL  pack_tokens a/00000: a.fa: is no FASTA\n      logs/pack_tokens/a/00000.log" in text
    )


@pytest.fixture
def run_of_all(run):
    """A run that has jobs of every rule; of one extraction, and one shard."""
    Path("labels.bed").write_text("a\t0\t600\tx\na\t1000\t1600\ty\n")
    fusion = {"f": {"method": "mean"}}
    heads = {"h": {"layer": "norm"}}
    extraction = {"layers": ["norm", "blocks.1"], "fusion": fusion, "scores": True, "heads": heads}
    return started(
        {
            "genomes": "sheet.tsv",
            "extractions": {"x": extraction},
            "probe": {"labels": "labels.bed"},
            "export": list(EXPORTS),
            "keep": "datasets",
        }
    )


@pytest.fixture
def run_of_variants(run):
    """A run with variants, which has no training set and no probe."""
    Path("v.vcf").write_text(vcf_of([("a", 9, ".", "A", "C")]))
    Path("sheet.tsv").write_text("genome\tfasta\tvariants\na\ta.fa\tv.vcf\n")
    return started({"genomes": "sheet.tsv", "extractions": {"x": {"layers": ["norm"]}}})


# A file is fetched only in a run that a server has answered: tests/storage.
@pytest.mark.parametrize("rule", [rule for rule in RULES if rule != "fetch_file"])
def test_a_failure_of_any_rule_is_shown(rule, request):
    kind = "run_of_variants" if RULES[rule].of_bundle else "run_of_all"
    job = request.getfixturevalue(kind).jobs(rule)[0]
    write_log(job.log, TRACEBACK)
    assert f"FAIL  {job.name}: MemoryError: no room\n      logs/{job.log}" in show_status.main(
        ".", False
    )
    for output in job.outputs.values():
        write_json(RESULTS / output, {})
    assert "no job failed" in show_status.main(".", False)


def test_a_failed_probe_is_shown(run_of_all):
    write_log("probe_layers/x.log", "2026-11-24 10:00:00 ERROR labels.bed: too few rows\n")
    assert "FAIL  probe_layers x: labels.bed: too few rows" in show_status.main(".", False)


def test_the_end_of_a_long_log_is_enough(run):
    write_log("long.log", "2026-11-24 10:00:00 INFO again\n" * 100_000 + TRACEBACK)
    assert errors_in(LOGS / "long.log") == ["MemoryError: no room"]
    write_log("fine.log", "2026-11-24 10:00:00 INFO again\n")
    assert errors_in(LOGS / "fine.log") == []


def test_the_genomes_may_be_gone(run):
    os.unlink("a.fa")
    begin(0, 500)
    assert "500 of 1,000 (50.0%)" in show_status.main(".", False)


def test_no_run_was_started(tmp_path):
    with contextlib.chdir(tmp_path), pytest.raises(InputError, match="no run was started in"):
        show_status.main(".", False)


def test_files_that_another_user_may_not_read_are_one_line(run, monkeypatch, capsys):
    def refused(*_):
        raise PermissionError(13, "Permission denied", str(shard(0)))

    monkeypatch.setattr(show_status, "all_states", refused)
    with pytest.raises(SystemExit, match="00000: Permission denied; its owner can allow"):
        show_status.command([])
