"""Run the workflow: `make run`.

Snakemake runs as a child. The terminal shows one line with the progress, the warnings, one line per
error of a job, and the summary at the end. The exit status is that of Snakemake.

In: as for Snakemake. Out: as of Snakemake.
"""

import argparse
import json
import os
import selectors
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from evo2_embed.embed.gpus import visible_gpus
from evo2_embed.io.version import add_version
from evo2_embed.run.frozen import RUN_CONFIG, load_frozen
from evo2_embed.run.live import Jobs, progress_line
from evo2_embed.run.status import all_states, expected_tokens
from snakemake_logger_plugin_evo2_embed import EVENTS

HERE = Path(__file__).resolve().parent
SNAKEFILE = HERE.parents[1] / "Snakefile"
RESULTS, LOGS, SUMMARY = Path("results"), Path("logs"), Path("results/summary.txt")
STEP, SILENCE = 0.1, 60.0  # tokens, and seconds, between two lines where there is no terminal
REST = 20  # times that a look at the files may take, until the next one
NO_RUN = ("-n", "--dry-run", "--dryrun", "--unlock", "--lint", "--report", "-h", "--help")
# Errors of jobs, which `Jobs` shows with the names of their logs, and what is so in every run.
NOT_SHOWN = ("error: ", "Using workflow specific profile ")


class Terminal:
    """Lines on standard error, and below them the line with the progress."""

    def __init__(self):
        self.live = sys.stderr.isatty()
        self.line, self.share, self.said = "", -1.0, -SILENCE

    def show(self, line: str, share: float) -> None:
        """Replace the line with the progress. Without a terminal, print it now and then."""
        if self.live:
            self.line = line[: shutil.get_terminal_size((100, 24)).columns - 1]
            self._write(f"\r\x1b[K{self.line}")
        elif share >= self.share + STEP or time.monotonic() - self.said >= SILENCE:
            self.share, self.said = share, time.monotonic()
            self._write(f"{line}\n")

    def say(self, text: str) -> None:
        """Print a line above."""
        clear, self.line = ("\r\x1b[K", self.line) if self.live else ("", "")
        self._write(f"{clear}{text}\n{self.line}")

    def end(self) -> None:
        """Remove the line with the progress."""
        if self.live:
            self.line = ""
            self._write("\r\x1b[K")

    def _write(self, text: str) -> None:
        os.write(2, text.encode())  # a signal may interrupt it, unlike sys.stderr


class Run:
    """Snakemake as a child, and what it says.

    Parameters
    ----------
    command : list of str
    """

    def __init__(self, command: list[str]):
        self.jobs, self.terminal, self.stopped = Jobs(), Terminal(), False
        self.frozen, self.tokens = None, {}
        self.next_look = 0.0
        reader, writer = os.pipe()
        paths = [str(HERE), *filter(None, [os.environ.get("PYTHONPATH")])]
        self.child = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=[writer],
            # A group of its own: signals reach it once, from here.
            process_group=0,
            env=os.environ | {EVENTS: str(writer), "PYTHONPATH": os.pathsep.join(paths)},
        )
        os.close(writer)
        self.sources = {reader: self._event, self.child.stdout.fileno(): self._print}
        self.rest = dict.fromkeys(self.sources, b"")
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._stop)

    def follow(self) -> int:
        """Show the run until it ends; its exit status."""
        with selectors.DefaultSelector() as selector:
            for source in self.sources:
                selector.register(source, selectors.EVENT_READ)
            while selector.get_map():
                for key, _ in selector.select(timeout=0.5):
                    if not self._read(key.fd):
                        selector.unregister(key.fd)
                self._look()
                if self.child.poll() is not None and not selector.select(timeout=0):
                    break  # a job that outlives Snakemake may hold the pipe
        self.terminal.end()
        status = self.child.wait()
        return status if status >= 0 else 128 - status

    def _read(self, source: int) -> bool:
        """Take the whole lines of a source; False at its end."""
        data = os.read(source, 1 << 16)
        *lines, self.rest[source] = (self.rest[source] + data).split(b"\n")
        for line in lines:
            self.sources[source](line.decode("utf-8", "replace"))
        return bool(data)

    def _event(self, line: str) -> None:
        for text in self.jobs.take(json.loads(line)):
            self.terminal.say(text)

    def _print(self, line: str) -> None:
        if not line.startswith(NOT_SHOWN):
            self.terminal.say(line)

    def _look(self) -> None:
        """Look at the files of the run, if it is time."""
        now = time.monotonic()
        if now < self.next_look:
            return
        states = []
        if self.jobs.started:
            if self.frozen is None:
                self.frozen = load_frozen(RUN_CONFIG)
                self.tokens = expected_tokens(self.frozen)
            states = list(all_states(self.frozen, RESULTS, LOGS, self.tokens).values())
        tokens = sum(state.tokens for state in states)
        share = sum(state.tokens_done for state in states) / tokens if tokens else 0.0
        self.terminal.show(progress_line(self.jobs, states), share)
        self.next_look = time.monotonic() + max(1.0, REST * (time.monotonic() - now))

    def _stop(self, number: int, _) -> None:
        if not self.stopped:
            self.terminal.say("stopping: embedding jobs finish their pack and save their work ...")
        self.stopped = True
        if number == signal.SIGTERM:
            self.child.terminate()
        else:
            os.killpg(self.child.pid, number)


def command_of(config: str | None, profile: str | None, further: list[str]) -> list[str]:
    """The command of Snakemake."""
    command = [sys.executable, "-m", "snakemake", "-s", str(SNAKEFILE)]
    # First the options that take all values that follow, then one that takes one value.
    command += [] if any(option in NO_RUN for option in further) else ["--logger", "evo2-embed"]
    command += ["--configfile", config] if config else []
    if profile:
        return [*command, "--workflow-profile", profile, *further]
    gpus = len(visible_gpus())
    command += ["--resources", f"gpu={gpus}"] if gpus else []
    return [*command, "--cores", "all", *further]


def main(config: str | None, profile: str | None, further: list[str]) -> int:
    """Run Snakemake, then print the summary; the exit status."""
    command = command_of(config, profile, further)
    if any(option in NO_RUN for option in further):
        return subprocess.run(command).returncode
    run = Run(command)
    status = run.follow()
    if status == 0 and not run.jobs.started:
        print("nothing to do: all results of this configuration are there", file=sys.stderr)
    if status == 0 and SUMMARY.exists():
        print(SUMMARY.read_text(encoding="utf-8"), end="")
    return status


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], allow_abbrev=False)
    parser.add_argument("--configfile", help="configuration file, read after config/config.yaml")
    parser.add_argument("--workflow-profile", help="its folder; without one: all cores and GPUs")
    parser.add_argument("--directory", default=".", help="folder of the run")
    add_version(parser)
    # The others are Snakemake's.
    chosen, others = parser.parse_known_args()
    os.chdir(chosen.directory)
    sys.exit(main(chosen.configfile, chosen.workflow_profile, others))
