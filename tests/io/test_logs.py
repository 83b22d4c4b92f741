"""What a job says on the terminal and in its log."""

import subprocess
import sys

import pytest
from runs import SCRIPTS

CODE = """
import warnings
from evo2_embed.io.errors import InputError
from evo2_embed.io.logs import log, logged_to
with logged_to("log"):
    name = "first\\x1b[31m\\u202e\\udc80" + "x" * 1_000_000 + "last"
    log.info("reads %s", name[:20])
    raise {kind}(f"a\\n{{name}}")
"""


@pytest.mark.parametrize("kind", ["InputError", "RuntimeError"])
def test_names_reach_terminal_and_log_escaped_and_the_terminal_cut(tmp_path, kind):
    run = subprocess.run(
        [sys.executable, "-c", CODE.format(kind=kind)],
        cwd=tmp_path,
        env={"PYTHONPATH": str(SCRIPTS)},
        capture_output=True,
        check=False,
    )
    assert run.returncode == 1
    (line,) = run.stderr.decode().splitlines()
    assert line.startswith("error: ")
    assert r"a first\x1b[31m\u202e\udc80xxx" in line
    assert "xxxlast" in line
    assert len(line) < 2100
    log = (tmp_path / "log").read_text()
    assert r"INFO reads first\x1b[31m\u202e\udc80xxx" in log
    for character in ("\x1b", "\u202e", "\udc80"):
        assert character not in log
