"""Show progress: `make status`.

In: the files that the run has written so far. Out: a table on the terminal, or JSON. It writes
nothing and needs no lock, so it works at any time, on any machine that sees the folder.
"""

import argparse
import json
import os
import signal
import sys
from collections import Counter
from pathlib import Path

from evo2_embed.io.errors import InputError
from evo2_embed.io.text import fault_lines
from evo2_embed.plan.estimate import estimate_run
from evo2_embed.run.frozen import INDEXES, RUN_CONFIG, Run, load_frozen
from evo2_embed.run.status import failures, shard_states
from evo2_embed.run.status_text import as_json, as_text

RESULTS, LOGS = Path("results"), Path("logs")


def main(directory: str, as_numbers: bool) -> str:
    """The text to print."""
    os.chdir(directory)
    if not Path(RUN_CONFIG).exists():
        raise InputError(f"no run was started in {Path.cwd()} yet ({RUN_CONFIG} does not exist)")
    run = load_frozen(RUN_CONFIG)
    tokens = expected_tokens(run)
    states = {name: shard_states(run, RESULTS, name, tokens) for name in run.settings.extractions}
    failed = failures(run, RESULTS, LOGS)
    if as_numbers:
        return json.dumps(as_json(states, failed), indent=2)
    return as_text(states, failed)


def expected_tokens(run: Run) -> Counter:
    """Expected tokens per bundle; empty if the FASTA files no longer exist."""
    try:
        genomes = estimate_run(run.settings, run.bundles, INDEXES).genomes
    except (OSError, InputError):
        return Counter()
    tokens = Counter()
    for genome in genomes:
        tokens[genome.bundle] += genome.tokens
    return tokens


def command(arguments: list[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--directory", default=".", help="folder of the run")
    parser.add_argument("--json", action="store_true", help="numbers, in tokens and seconds")
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
