"""A run with a fault, and its outcome."""

import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
from runs import SCRIPTS

TIMEOUT = 300
PAUSE = 0.05


class Trial:
    """A run in its own folder, a fault, and the outcome.

    Attributes
    ----------
    outcome : str
        How the disturbed run ended.
    said : str
        Its error line, if any.
    repeated : float or None
        Lost seconds of embedding: from the last save of each running shard to the fault.
    """

    def __init__(self, campaign, folder: Path, target: str, seconds: float, rng: random.Random):
        self.campaign, self.folder, self.target = campaign, folder, target
        self.seconds, self.random = seconds, rng
        self.flow = None
        self.process = None
        self.outcome, self.said, self.repeated = "went on", "", None
        self.undo: list[Callable[[], None]] = []

    def begin(self, finished: bool = False, without: tuple[str, ...] = ()) -> None:
        """Copy the fresh folder, or the finished folder without some results."""
        source = self.campaign.finished if finished else self.campaign.fresh
        self.flow = source.copy_to(self.folder)
        for name in without:
            shutil.rmtree(self.folder / "results" / name)

    def rename(self, folder: str) -> None:
        """Move the folder."""
        self.folder = self.folder.rename(folder)
        self.flow = self.flow.at(folder)
        self.output = self.folder / self.output.name

    def start(self, *arguments: str) -> subprocess.Popen:
        """Start a run."""
        # Not a pipe: jobs that outlive a killed run would keep it open.
        self.output = self.folder / f"output-{len(list(self.folder.glob('output-*')))}"
        with open(self.output, "w") as file:
            self.process = self.flow.start("--cores", "2", self.target, *arguments, output=file)
        return self.process

    def at_any_moment(self) -> None:
        """Wait for a random moment of the run."""
        time.sleep(self.random.uniform(1, self.seconds))

    def while_embedding(self) -> list[psutil.Process]:
        """Wait until a job has saved work, and a little longer; returns the job if it still
        runs."""
        deadline = time.monotonic() + TIMEOUT
        while not list(self.flow.folder.glob("results/shards/*/*/*/.work/journal.json")):
            assert self.process.poll() is None, self.output.read_text()
            assert time.monotonic() < deadline
            time.sleep(PAUSE)
        time.sleep(self.random.uniform(0, 1))
        jobs = self.jobs("embed_shard")
        return [self.random.choice(jobs)] if jobs else []

    def while_running(self, rule: str) -> list[psutil.Process]:
        """Wait for jobs of a rule, and a little longer; returns them."""
        deadline = time.monotonic() + TIMEOUT
        while not (jobs := self.jobs(rule)):
            assert self.process.poll() is None, self.output.read_text()
            assert time.monotonic() < deadline
            time.sleep(PAUSE / 10)
        time.sleep(self.random.uniform(0, 1))
        return jobs

    def edit(self, before: str, after: str) -> None:
        """Edit the configuration."""
        path = self.flow.folder / "config" / "config.yaml"
        text = path.read_text()
        assert before in text
        path.write_text(text.replace(before, after))

    def verify(self) -> None:
        """`make verify`: it must fail, and its first line is what the run said."""
        script = SCRIPTS / "verify_results.py"
        command = [sys.executable, str(script), "--directory", str(self.flow.folder)]
        found = subprocess.run(command, capture_output=True, text=True)
        assert found.returncode == 1, found
        self.said = found.stdout.splitlines()[0]

    def jobs(self, rule: str = "") -> list[psutil.Process]:
        """Processes of the jobs of this folder, orphans included."""
        found = []
        for process in psutil.process_iter(["cmdline"]):
            line = " ".join(process.info["cmdline"] or [])
            script = f"{self.flow.folder}/.snakemake/scripts/"
            if script in line and f".{rule}" in line and "watchdog" not in line:
                found.append(process)
        return found

    def note_loss(self) -> None:
        """Record how much embedding is not saved at this moment."""
        now = time.time()
        losses = []
        for work in self.flow.folder.glob("results/shards/*/*/*/.work"):
            journal, rows = work / "journal.json", list(work.glob("*.rows"))
            if journal.exists():
                losses.append(now - journal.stat().st_mtime)
            elif rows and rows[0].stat().st_size:
                losses.append(now - rows[0].stat().st_ctime)
        self.repeated = max(losses, default=0.0)

    def kill(self, *processes: psutil.Process | subprocess.Popen, how=signal.SIGKILL) -> None:
        """Send a signal to processes that may have ended."""
        self.note_loss()
        for process in processes:
            try:
                process.send_signal(how)
            except psutil.NoSuchProcess:
                self.outcome = "had ended before"

    def end(self) -> int:
        """Wait for the end of the run; record its output."""
        self.process.wait(timeout=TIMEOUT)
        output = self.output.read_text()
        # Lines of the workflow before those of Snakemake.
        faults = (r"\b(error|ERROR|stopped)\b", "Error|Exception")
        lines = [x for fault in faults for x in output.splitlines() if re.search(fault, x)]
        if self.process.returncode:
            self.outcome = "error, rerun" if self.outcome == "went on" else self.outcome
            assert lines or self.process.returncode < 0, output
        self.said = self.said or next(iter(lines), "").strip()[:200]
        return self.process.returncode

    def rerun(self, *arguments: str, fails: bool = False) -> None:
        """Run again, to the end."""
        self.start(*arguments)
        assert bool(self.end()) == fails, (self.said, self.flow.folder)

    def unlock(self) -> None:
        """Remove the lock of a killed run."""
        self.flow.run("--unlock")

    def finish(self) -> None:
        """Check that the run is complete: another run has nothing to do."""
        if self.process.returncode:
            self.rerun()
        self.start()
        self.process.wait(timeout=TIMEOUT)
        output = self.output.read_text()
        assert "Nothing to be done" in output, output

    def clean_up(self) -> None:
        """Undo mounts and attributes; end remaining processes of the run."""
        for undo in reversed(self.undo):
            undo()
        self.undo.clear()
        for process in [*self.jobs(), *([self.process] if self.process else [])]:
            try:
                process.kill()
                process.wait(TIMEOUT)
            except psutil.NoSuchProcess:
                continue

    def inside(self, path: Path) -> str:
        """A path as a target of the run."""
        return str(path.relative_to(self.flow.folder))

    def follow_advice(self) -> Path:
        """Delete what the error line says to delete, and return its path."""
        found = re.search(r"delete (\S+) and rerun", self.said)
        assert found, self.said
        path = self.flow.folder / found[1]
        assert path.is_relative_to(self.flow.folder / "results")
        shutil.rmtree(path) if path.is_dir() else path.unlink()
        return path
