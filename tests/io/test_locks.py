"""Locks that go with their owner, and the watchdog: with real processes, killed and stopped."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from evo2_embed.io.errors import InputError
from evo2_embed.io.locks import exclusive, is_held
from runs import SCRIPTS

HOLD = """
import sys, time
from pathlib import Path
from evo2_embed.io.locks import exclusive
with exclusive(Path(sys.argv[1]), 0, 0.05):
    print("mine", flush=True)
    sys.stdin.read()
"""
# A shell that starts the tests in the background lets processes ignore SIGINT.
GUARDED = """
import signal, sys, time; signal.signal(signal.SIGINT, signal.default_int_handler)
from evo2_embed.embed.watchdog import Watchdog
with Watchdog(float(sys.argv[1])) as watchdog:
    print("started", flush=True)
    for _ in range(int(sys.argv[2])):
        time.sleep(0.1)
        watchdog.beat()
    time.sleep(float(sys.argv[3]))
print("ended", flush=True)
"""


def start(code, *arguments):
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(SCRIPTS)},
        process_group=0,
    )


def hold(path):
    """A process that has the lock."""
    process = start(HOLD, path)
    assert process.stdout.readline() == "mine\n"
    return process


def end(process):
    process.communicate(timeout=30)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_dead_owner_loses_the_lock(tmp_path, how):
    path = tmp_path / ".work" / "lock"
    assert not is_held(path)
    owner = hold(path)
    assert is_held(path)
    owner.send_signal(how)
    end(owner)
    assert not is_held(path)
    with exclusive(path, 1):
        pass


def test_one_after_the_other(tmp_path):
    path = tmp_path / "lock"
    owner = hold(path)
    second = start(HOLD, path)
    time.sleep(0.5)
    assert second.poll() is None
    owner.stdin.close()
    assert second.stdout.readline() == "mine\n"
    for process in (owner, second):
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout, process.stderr):
            pipe.close()


def test_a_lock_that_its_owner_removed_is_taken_anew(tmp_path):
    path = tmp_path / ".work" / "lock"
    owner = hold(path)
    shutil.rmtree(path.parent)
    with exclusive(path, 1):
        assert is_held(path)
        end(owner)
        assert is_held(path)


def test_an_owner_without_progress_is_named(tmp_path):
    path = tmp_path / "lock"
    owner = hold(path)
    long_ago = time.time() - 100
    os.utime(path, (long_ago, long_ago))
    said = f"held by process {owner.pid} on .* made no progress for 100 s: end it"
    with pytest.raises(InputError, match=said), exclusive(path, 50):
        pass
    end(owner)


def test_a_file_system_without_locks_is_used_all_the_same(tmp_path, monkeypatch, caplog):
    def no_locks(*_):
        raise OSError(38, "Function not implemented")

    monkeypatch.setattr("fcntl.flock", no_locks)
    with exclusive(Path(tmp_path / "lock"), 1):
        assert "no locks on this file system" in caplog.text


def test_the_watchdog_leaves_alone_what_goes_on():
    process = start(GUARDED, 1, 20, 0)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "ended" in output
    assert not errors


def test_ctrl_c_is_for_the_job_and_not_for_its_watchdog():
    process = start(GUARDED, 30, 1000, 0)
    assert process.stdout.readline() == "started\n"
    time.sleep(0.5)  # until the watchdog's Python has started
    os.killpg(process.pid, signal.SIGINT)
    errors = process.communicate(timeout=60)[1]
    assert errors.count("Traceback") == 1  # of the job
    assert 'watchdog.py", line' not in errors


def test_no_watchdog():
    process = start(GUARDED, 0, 1, 0)
    assert "ended" in process.communicate(timeout=60)[0]


def test_the_watchdog_ends_what_hangs_and_says_where():
    process = start(GUARDED, 1, 1, 1000)
    output, errors = process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL
    assert "ended" not in output
    assert "ERROR no progress for 1 s (runtime.hang_after): ending this job" in errors
    assert 'File "<string>", line 9' in errors


def test_the_watchdog_ends_a_process_that_is_stopped():
    process = start(GUARDED, 1, 1000, 0)
    assert process.stdout.readline() == "started\n"
    process.send_signal(signal.SIGSTOP)
    process.communicate(timeout=60)
    assert process.returncode == -signal.SIGKILL


def test_the_watchdog_goes_with_a_killed_process():
    process = start(GUARDED, 30, 1000, 0)
    assert process.stdout.readline() == "started\n"
    process.kill()
    # The pipe of its standard error closes when the last process that has it ends.
    process.communicate(timeout=20)
