"""Progress of a run, from its files only; nothing is written."""

import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from evo2_embed.embed.progress import Progress, read_progress
from evo2_embed.io.errors import InputError
from evo2_embed.io.files import read_json
from evo2_embed.io.locks import is_held
from evo2_embed.plan.bundles import Bundle
from evo2_embed.plan.estimate import estimate_run
from evo2_embed.plan.rules import RULES
from evo2_embed.run.frozen import INDEXES, Run

RECENT = 50  # finished shards for the speed of jobs
WORK, JOURNAL = ".work", "journal.json"  # where an embedding job saves its work
# What a running job does while it has no speed, or after its last pack.
LOADING, FIRST_PACK, WRITING = "loading the model", "first pack", "writing files"
_TAIL = 8 << 10  # bytes at the end of a log that are searched for the error


@dataclass
class ShardStates:
    """The shards of an extraction.

    Attributes
    ----------
    done, running, interrupted, waiting : int
        Number of shards: finished; with a running job; with saved work and no job; not started.
    tokens_done, tokens : float
        Tokens of finished and saved work, and of all shards, as far as known.
    speed : float or None
        Tokens per second per job, of jobs that run or finished last.
    total_speed : float or None
        Tokens per second of all running jobs together.
    stage : str
        What running jobs do while there is no speed, or nothing is left to embed.
    datasets, layers : int
        Number of finished datasets, and of all layers, fusions, scores and heads.
    finished : float
        When the last shard finished (seconds since 1970).
    """

    done: int = 0
    running: int = 0
    interrupted: int = 0
    waiting: int = 0
    tokens_done: float = 0.0
    tokens: float = 0.0
    speed: float | None = None
    total_speed: float | None = None
    stage: str = ""
    datasets: int = 0
    layers: int = 0
    finished: float = 0.0
    timed: list[tuple[float, float, float]] = field(default_factory=list, repr=False)
    running_speeds: list[float | None] = field(default_factory=list, repr=False)

    @property
    def seconds_left(self) -> float | None:
        """Time until the last shard is done, at the speed of the running jobs together."""
        left = self.tokens - self.tokens_done
        if left <= 0:
            return 0.0
        return left / self.total_speed if self.total_speed else None


@dataclass(frozen=True)
class Failure:
    """A job that ended with an error and did not run again since."""

    job: str
    log: str
    error: str


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


def all_states(
    run: Run, results: Path, logs: Path, tokens: dict[str, float]
) -> dict[str, ShardStates]:
    """The shards of each extraction, see `shard_states`."""
    names = run.settings.extractions
    return {name: shard_states(run, results, logs, name, tokens) for name in names}


def shard_states(
    run: Run, results: Path, logs: Path, extraction: str, tokens: dict[str, float]
) -> ShardStates:
    """Count the shards of an extraction.

    Parameters
    ----------
    run : Run
    results, logs : Path
    extraction : str
        Its name.
    tokens : dict of str to float
        Expected tokens per bundle.
    """
    states = ShardStates()
    settings = run.embed_settings(extraction)
    for bundle in run.bundles.values():
        expected = tokens.get(bundle.name, 0.0) / bundle.n_shards
        if _add_tidied(states, results, extraction, bundle, settings):
            continue
        for shard in bundle.shards:
            name = Path(extraction, bundle.name, shard)
            alive = logs / "embed_shard" / f"{name}.log"
            _add_shard(states, results / "shards" / name, alive, settings, expected)
    recent = sorted(states.timed)[-RECENT:]
    seconds = sum(seconds for _, _, seconds in recent)
    states.speed = sum(tokens for _, tokens, _ in recent) / seconds if seconds else None
    if states.running and states.speed:
        states.total_speed = sum(speed or states.speed for speed in states.running_speeds)
    known = run.settings.extractions[extraction]
    paths = [f"embeddings/{extraction}/{layer}.json" for layer in (*known.outputs, *known.fusion)]
    paths += [f"heads/{extraction}/{head}.json" for head in known.heads]
    states.layers = len(paths)
    if states.done == sum(bundle.n_shards for bundle in run.bundles.values()):
        states.datasets = sum(_is_newer(results / path, states.finished) for path in paths)
    return states


def _add_tidied(
    states: ShardStates, results: Path, extraction: str, bundle: Bundle, settings: dict
) -> bool:
    """Add the shards of a bundle that were deleted after it was finished; whether it is one."""
    folder = results / "bundles" / extraction / bundle.name
    if (results / "shards" / extraction / bundle.name).exists():
        return False
    for path in folder.glob("*.json"):
        record, known = _read(path), _read(folder / "shards" / path.name)
        if record and known and record.get("settings") == settings:
            finished = path.stat().st_mtime
            for shard in known["shards"].values():
                _add_done(states, shard, shard, finished)
            return True
    return False


def _add_done(states: ShardStates, record: dict, speed: dict | None, finished: float) -> None:
    states.done += 1
    states.tokens += record["n_tokens"]
    states.tokens_done += record["n_tokens"]
    if speed and speed["seconds"]:
        states.timed.append((finished, speed["tokens"], speed["seconds"]))


def _is_newer(path: Path, moment: float) -> bool:
    return path.exists() and path.stat().st_mtime >= moment


def _add_shard(
    states: ShardStates, folder: Path, log: Path, settings: dict, expected: float
) -> None:
    record = _read(folder / "shard.json")
    if record is not None and record.get("settings") == settings:
        finished = (folder / "shard.json").stat().st_mtime
        states.finished = max(states.finished, finished)
        _add_done(states, record, _read(folder / "speed.json"), finished)
        return
    if is_held(log):
        _add_running(states, folder / WORK, expected)
        return
    journal = _read(folder / WORK / JOURNAL) or {}
    states.interrupted += bool(journal)
    states.waiting += not journal
    states.tokens += journal.get("n_tokens", expected)
    states.tokens_done += journal.get("tokens", 0)


def _add_running(states: ShardStates, work: Path, expected: float) -> None:
    states.running += 1
    progress = read_progress(work)
    if progress is None:  # it is starting, or of an earlier version
        saved = _read(work / JOURNAL) or {"tokens": 0, "n_tokens": round(expected), "seconds": 0.0}
        known = {key: saved[key] for key in ("tokens", "n_tokens", "seconds")}
        progress = Progress(**known, loaded=saved["seconds"] > 0)
    states.tokens += progress.n_tokens
    states.tokens_done += progress.tokens
    speed = None
    if progress.tokens and progress.seconds:
        speed = progress.tokens / progress.seconds
        states.timed.append((time.time(), progress.tokens, progress.seconds))
    states.running_speeds.append(speed)
    if not progress.loaded:
        states.stage = states.stage or LOADING
    elif progress.tokens < progress.n_tokens:
        states.stage = FIRST_PACK
    else:
        states.stage = states.stage or WRITING


def saved_work(results: Path) -> int:
    """Number of embedding jobs with saved work, which a rerun continues."""
    journals = (_read(path) or {} for path in results.glob(f"**/{WORK}/{JOURNAL}"))
    return sum(journal.get("tokens", 0) > 0 for journal in journals)


def _read(path: Path) -> dict | None:
    """A JSON file; None if it is missing, damaged, or being replaced."""
    try:
        return read_json(path)
    except (OSError, ValueError):
        return None


def failures(run: Run, results: Path, logs: Path) -> list[Failure]:
    """Jobs whose output is missing and whose log ends with an error, in the order of the data."""
    found = []
    for job in (job for rule in RULES for job in run.jobs(rule)):
        output, log = results / next(iter(job.outputs.values())), logs / job.log
        if output.exists() or not log.exists() or is_held(log):
            continue
        errors = errors_in(log)
        if errors:
            found.append(Failure(job.name, str(log), errors[-1]))
    return found


def errors_in(log: Path) -> list[str]:
    """The errors at the end of a job's log, one line each; of a traceback, its last line, with the
    name and message of the exception."""
    with open(log, "rb") as handle:
        handle.seek(0, 2)
        handle.seek(max(handle.tell() - _TAIL, 0))
        lines = handle.read().decode("utf-8", "replace").splitlines()
    if any(line.startswith("Traceback (most recent call last)") for line in lines):
        said = [line for line in lines if line.strip() and not line.startswith(" ")]
        return [said[-1].strip()]
    return [line.split(" ERROR ", 1)[1].strip() for line in lines if " ERROR " in line]
