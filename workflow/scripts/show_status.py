"""Show progress: `make status`.

In: the files that the run has written so far. Out: a table on the terminal, or JSON. It writes
nothing and needs no lock, so it works at any time, on any machine that sees the folder.
"""

import argparse
import json
import os
import signal
import sys
from pathlib import Path

from evo2_embed.io.errors import InputError
from evo2_embed.io.text import fault_lines
from evo2_embed.io.version import add_version
from evo2_embed.run.frozen import RUN_CONFIG, load_frozen
from evo2_embed.run.status import all_states, expected_tokens, failures
from evo2_embed.run.status_text import as_json, as_text

RESULTS, LOGS = Path("results"), Path("logs")


def main(directory: str, as_numbers: bool) -> str:
    """The text to print."""
    os.chdir(directory)
    if not Path(RUN_CONFIG).exists():
        raise InputError(f"no run was started in {Path.cwd()} yet ({RUN_CONFIG} does not exist)")
    run = load_frozen(RUN_CONFIG)
    states = all_states(run, RESULTS, LOGS, expected_tokens(run))
    failed = failures(run, RESULTS, LOGS)
    if as_numbers:
        return json.dumps(as_json(states, failed), indent=2)
    return as_text(states, failed)


def command(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--directory", default=".", help="folder of the run")
    parser.add_argument("--json", action="store_true", help="numbers, in tokens and seconds")
    add_version(parser)
    chosen = parser.parse_args(arguments)
    try:
        print(main(chosen.directory, chosen.json))
    except InputError as fault:
        sys.exit(fault_lines("error", fault))
    except PermissionError as fault:
        sys.exit(f"error: {fault.filename}: {fault.strerror}; its owner can allow you to read it")


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` ends it without a traceback
    command()
