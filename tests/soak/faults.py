"""The faults of the campaign, and the run that each is done to."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil

TIMEOUT = 300
BELOW_SHARDS = ("embeddings",)
BELOW_PACKS = ("shards", *BELOW_SHARDS)
BELOW_CHUNKS = ("packs", *BELOW_PACKS)
PAUSE = 0.05


class Trial:
    """A run in a folder of its own, a fault, and what came of it.

    Attributes
    ----------
    outcome : str
        How the disturbed run ended.
    said : str
        The error line that it showed, if it did.
    repeated : float or None
        Seconds of embedding that were lost: from the last save of each shard in work to the fault.
    """

    def __init__(self, campaign, folder: Path, target: str, seconds: float, rng: random.Random):
        self.campaign, self.folder, self.target = campaign, folder, target
        self.seconds, self.random = seconds, rng
        self.flow = None
        self.process = None
        self.outcome, self.said, self.repeated = "went on", "", None
        self.undo: list[Callable[[], None]] = []

    def begin(self, finished: bool = False, without: tuple[str, ...] = ()) -> None:
        """Take a copy of the fresh, or of the finished folder without some of its results."""
        source = self.campaign.finished if finished else self.campaign.fresh
        self.flow = source.copy_to(self.folder)
        for name in without:
            shutil.rmtree(self.folder / "results" / name)

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
        """Wait until a job has saved something, and a little longer; that job, if it is there."""
        deadline = time.monotonic() + TIMEOUT
        while not list(self.flow.folder.glob("results/shards/*/*/*/.work/journal.json")):
            assert self.process.poll() is None, self.output.read_text()
            assert time.monotonic() < deadline
            time.sleep(PAUSE)
        time.sleep(self.random.uniform(0, 1))
        jobs = self.jobs("embed_shard")
        return [self.random.choice(jobs)] if jobs else []

    def jobs(self, rule: str = "") -> list[psutil.Process]:
        """Processes of the jobs of this folder, of orphans too."""
        found = []
        for process in psutil.process_iter(["cmdline"]):
            line = " ".join(process.info["cmdline"] or [])
            script = f"{self.flow.folder}/.snakemake/scripts/"
            if script in line and f".{rule}" in line and "watchdog" not in line:
                found.append(process)
        return found

    def note_loss(self) -> None:
        """Note how much embedding is not saved at this moment."""
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
        """Wait for the run's end; note what it said."""
        self.process.wait(timeout=TIMEOUT)
        output = self.output.read_text()
        lines = [line for line in output.splitlines() if re.search(r"\b(error|ERROR)\b", line)]
        lines += [line for line in output.splitlines() if re.search("Error|Exception", line)]
        if self.process.returncode:
            self.outcome = "error, rerun" if self.outcome == "went on" else self.outcome
            assert lines or self.process.returncode < 0, output
        self.said = self.said or next(iter(lines), "").strip()[:200]
        return self.process.returncode

    def rerun(self, *arguments: str, fails: bool = False) -> None:
        """Run again to the end."""
        self.start(*arguments)
        assert bool(self.end()) == fails, (self.said, self.flow.folder)

    def unlock(self) -> None:
        """Remove the lock of a run that was killed."""
        self.flow.run("--unlock")

    def finish(self) -> None:
        """See that the run is at its end, and that another one has nothing to do."""
        if self.process.returncode:
            self.rerun()
        self.start()
        self.process.wait(timeout=TIMEOUT)
        output = self.output.read_text()
        assert "Nothing to be done" in output, output

    def clean_up(self) -> None:
        """Undo mounts and attributes; end what is left of the run."""
        for undo in reversed(self.undo):
            undo()
        self.undo.clear()
        for process in [*self.jobs(), *([self.process] if self.process else [])]:
            try:
                process.kill()
                process.wait(TIMEOUT)
            except psutil.NoSuchProcess:
                continue

    def follow_advice(self) -> None:
        """Delete what the error line says to delete."""
        found = re.search(r"delete (\S+) and rerun", self.said)
        assert found, self.said
        path = self.flow.folder / found[1]
        assert path.is_relative_to(self.flow.folder / "results")
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def kill_job(trial: Trial) -> None:
    trial.begin()
    trial.start()
    trial.at_any_moment()
    trial.kill(*trial.jobs())
    trial.end()


def kill_embedding(trial: Trial) -> None:
    trial.begin()
    trial.start()
    trial.kill(*trial.while_embedding())
    trial.end()


def kill_all(trial: Trial) -> None:
    trial.begin()
    trial.start()
    trial.at_any_moment()
    trial.kill(trial.process, *trial.jobs())
    trial.end()
    trial.outcome = "killed, rerun"
    trial.unlock()


def kill_main(trial: Trial) -> None:
    """The jobs live on as orphans, beside those of the next run."""
    trial.begin()
    trial.start()
    trial.at_any_moment()
    trial.kill(trial.process)
    trial.end()
    trial.outcome = "killed, rerun beside orphans" if trial.jobs() else "killed, rerun"
    trial.unlock()


def terminate_job(trial: Trial) -> None:
    trial.begin()
    trial.start()
    trial.kill(*trial.while_embedding(), how=signal.SIGTERM)
    trial.end()


def terminate_main(trial: Trial) -> None:
    trial.begin()
    trial.start()
    trial.at_any_moment()
    trial.kill(trial.process, how=signal.SIGTERM)
    trial.end()


def interrupt(trial: Trial) -> None:
    """Ctrl-C: the signal goes to Snakemake and its jobs."""
    trial.begin()
    trial.start()
    trial.at_any_moment()
    trial.kill(trial.process, *trial.jobs(), how=signal.SIGINT)
    trial.end()
    if trial.process.returncode:
        trial.outcome = "stopped, rerun"
        trial.unlock()


def fill_disk(trial: Trial) -> None:
    trial.begin()
    results = trial.flow.folder / "results"
    results.mkdir()
    size = trial.random.randint(100, 6000)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}k", "none", results], check=True)
    trial.undo.append(lambda: unmount(results))
    trial.start()
    trial.end()
    subprocess.run(["mount", "-o", "remount,size=1g", results], check=True)


def unmount(path: Path) -> None:
    """Put what is on a mounted folder where the folder is."""
    kept = path.with_name("kept")
    shutil.copytree(path, kept)
    subprocess.run(["umount", "-l", path], check=True)
    shutil.copytree(kept, path, dirs_exist_ok=True)
    shutil.rmtree(kept)


def make_read_only(trial: Trial) -> None:
    """As a folder that only its owner may write to; root may, so its attribute says so."""
    trial.begin()
    folder = trial.flow.folder / "results" / trial.random.choice(["packs", "shards", "embeddings"])
    folder.mkdir(parents=True)
    subprocess.run(["chattr", "+i", folder], check=True)
    trial.undo.append(lambda: subprocess.run(["chattr", "-i", folder], check=True))
    trial.start()
    trial.end()
    trial.undo.pop()()


def remove_work_file(trial: Trial) -> None:
    kill_embedding(trial)
    files = sorted(trial.flow.folder.glob("results/shards/*/*/*/.work/*"))
    if files:
        trial.random.choice(files).unlink()


def flip_saved_work(trial: Trial) -> None:
    kill_embedding(trial)
    files = sorted(trial.flow.folder.glob("results/shards/*/*/*/.work/*"))
    flip(trial, [file for file in files if file.stat().st_size and file.name != "lock"])


def hang(trial: Trial) -> None:
    """A job that is stopped makes no progress; the watchdog ends it."""
    trial.begin()
    trial.start()
    trial.kill(*trial.while_embedding(), how=signal.SIGSTOP)
    trial.end()


def second_run(trial: Trial) -> None:
    trial.begin()
    first = trial.start()
    trial.while_embedding()
    trial.rerun(fails=True)
    assert "Lock" in trial.said, trial.said
    trial.outcome = "second refused, first went on"
    trial.process = first
    trial.end()


def second_run_without_lock(trial: Trial) -> None:
    trial.begin()
    first = trial.start()
    trial.while_embedding()
    trial.start("--nolock", "--rerun-incomplete")
    trial.end()
    second, trial.process = trial.process, first
    trial.end()
    trial.outcome = f"first {first.returncode}, second {second.returncode}"


def flip(trial: Trial, files: list[Path]) -> None:
    """Change a bit of one of the files."""
    path = trial.random.choice(files)
    content = bytearray(path.read_bytes())
    content[trial.random.randrange(len(content))] ^= 1 << trial.random.randrange(8)
    path.write_bytes(content)


def cut(trial: Trial, files: list[Path]) -> None:
    """Cut one of the files anywhere; also to nothing."""
    path = trial.random.choice(files)
    size = trial.random.choice([0, trial.random.randrange(path.stat().st_size)])
    os.truncate(path, size)


def swap(trial: Trial, files: list[Path]) -> None:
    """Exchange two of the files."""
    one, two = trial.random.sample(files, 2)
    content = one.read_bytes()
    shutil.copy(two, one)
    two.write_bytes(content)


def damage(pattern: str, how: Callable, below: tuple[str, ...]) -> Callable[[Trial], None]:
    """A fault: files are damaged in a run that was stopped before anything read them.

    `below` are the folders of what was made from them.
    """

    def fault(trial: Trial) -> None:
        trial.begin(finished=True, without=below)
        how(trial, sorted(trial.flow.folder.glob(f"results/{pattern}")))
        trial.rerun(fails=True)
        trial.outcome = "error says what to delete, rerun"
        while trial.process.returncode:
            trial.follow_advice()
            trial.said = ""
            trial.start()
            trial.end()

    return fault


def rot_weights(trial: Trial) -> None:
    """A bit of the weights changes on the disk, and nothing else of the file."""
    trial.begin(finished=True, without=BELOW_PACKS)
    (record,) = trial.flow.folder.glob("results/models/*.json")
    path = Path(json.loads(record.read_text())["path"])
    before, state = path.read_bytes(), path.stat()
    flip(trial, [path])
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    trial.rerun(fails=True)
    assert "evo2_tiny.pt: not the weights" in trial.said, trial.said
    trial.outcome = "error, weights restored, rerun"
    path.write_bytes(before)
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))


FAULTS: dict[str, Callable[[Trial], None]] = {
    "kill -9 of the jobs": kill_job,
    "kill -9 of an embedding job": kill_embedding,
    "kill -9 of Snakemake": kill_main,
    "kill -9 of both": kill_all,
    "SIGTERM to an embedding job": terminate_job,
    "SIGTERM to Snakemake": terminate_main,
    "Ctrl-C": interrupt,
    "disk full": fill_disk,
    "folder read-only": make_read_only,
    "work file removed": remove_work_file,
    "bit flipped in saved work": flip_saved_work,
    "bit flipped in a pack file": damage("packs/*/*.parquet", flip, BELOW_PACKS),
    "bit flipped in a chunk table": damage("chunks/*.parquet", flip, BELOW_CHUNKS),
    "bit flipped in a shard file": damage("shards/*/*/*/*.parquet", flip, BELOW_SHARDS),
    "bit flipped in a shard record": damage("shards/*/*/*/shard.json", flip, BELOW_SHARDS),
    "pack file cut": damage("packs/*/*.parquet", cut, BELOW_PACKS),
    "shard file cut": damage("shards/*/*/*/*.parquet", cut, BELOW_SHARDS),
    "pack files swapped": damage("packs/*/*.parquet", swap, BELOW_PACKS),
    "shard files swapped": damage("shards/*/*/*/*.parquet", swap, BELOW_SHARDS),
    "bit flipped in the weights": rot_weights,
    "job hangs": hang,
    "second run": second_run,
    "second run without lock": second_run_without_lock,
}
