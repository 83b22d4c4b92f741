"""Checks that must not end well without having checked anything."""

import os
import re
import subprocess

import pytest
from runs import ROOT


@pytest.fixture
def run_slurm_tests(tmp_path):
    """A function that runs `tests/slurm/run.sh` with stand-ins for commands and some variables."""

    def stand_in(name, text):
        path = tmp_path / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)
        return str(path)

    def run(user, apt_get, **variables):
        stand_in("id", f"echo {user}")
        stand_in("apt-get", apt_get)
        # All commands but two are there, before and after an installation.
        python = stand_in("python", "echo slurmctld munged")
        path = f"{tmp_path}:{os.environ['PATH']}"
        return subprocess.run(
            [str(ROOT / "tests" / "slurm" / "run.sh")],
            env={"PATH": path, "PYTHON": python, **variables},
            capture_output=True,
            text=True,
        )

    return run


@pytest.mark.parametrize(
    ("user", "apt_get", "reason"),
    [
        (1000, "exit 0", "a private SLURM needs root"),
        (0, "exit 1", "apt-get could not install slurm-wlm and munge"),
        (0, "exit 0", "slurm-wlm and munge are installed, but not slurmctld munged"),
    ],
)
def test_slurm_tests_that_cannot_run_are_skipped_with_a_line_and_fail_in_ci(
    run_slurm_tests, user, apt_get, reason
):
    skipped = run_slurm_tests(user, apt_get)
    assert skipped.returncode == 0
    assert f"skipped: the SLURM tests: {reason}" in skipped.stdout
    refused = run_slurm_tests(user, apt_get, CI="true")
    assert refused.returncode == 1
    assert refused.stderr == f"error: the SLURM tests cannot run: {reason}\n"


def test_no_test_leaves_itself_out():
    files = [path for path in (ROOT / "tests").rglob("*.py") if path.name != "test_checks.py"]
    assert len(files) > 50
    for path in files:
        assert not re.search(r"skip(if|\()|importorskip|xfail", path.read_text()), path


def test_ci_fails_if_any_of_its_parts_fails(tmp_path):
    """`.ci/run` with a stand-in for make that fails for one target."""
    make = tmp_path / "make"
    make.write_text('#!/bin/sh\necho "$1" >> "$ASKED"\n[ "$1" != "$FAILS" ] || exit 3\n')
    make.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "ASKED": str(tmp_path / "asked")}
    tests = ("test", "test-slurm", "test-storage")
    for target, status in (("", 0), *((name, 3) for name in ("lint", *tests))):
        run = subprocess.run(
            [str(ROOT / ".ci" / "run")], env={**environment, "FAILS": target}, capture_output=True
        )
        assert run.returncode == status, target
    asked = (tmp_path / "asked").read_text().split()
    assert [asked.count(target) for target in ("lint", *tests)] == [5, 4, 4, 4]
