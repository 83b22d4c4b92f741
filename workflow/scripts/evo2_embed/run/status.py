"""Progress of a run, from its files only; nothing is written."""

from dataclasses import dataclass, field
from pathlib import Path

from evo2_embed.io.files import read_json
from evo2_embed.io.locks import is_held
from evo2_embed.plan.bundles import Bundle
from evo2_embed.plan.rules import RULES
from evo2_embed.run.frozen import Run

RECENT = 50  # finished shards for the speed of jobs
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
    datasets: int = 0
    layers: int = 0
    finished: float = 0.0
    timed: list[tuple[float, float, float]] = field(default_factory=list, repr=False)

    @property
    def seconds_left(self) -> float | None:
        """Time until the last shard is done, at this speed and with the current number of jobs."""
        left = self.tokens - self.tokens_done
        if left <= 0:
            return 0.0
        return left / (self.speed * self.running) if self.speed and self.running else None


@dataclass(frozen=True)
class Failure:
    """A job that ended with an error and did not run again since."""

    job: str
    log: str
    error: str


def shard_states(run: Run, results: Path, extraction: str, tokens: dict[str, float]) -> ShardStates:
    """Count the shards of an extraction.

    Parameters
    ----------
    run : Run
    results : Path
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
            folder = results / "shards" / extraction / bundle.name / shard
            _add_shard(states, folder, settings, expected)
    recent = sorted(states.timed)[-RECENT:]
    seconds = sum(seconds for _, _, seconds in recent)
    states.speed = sum(tokens for _, tokens, _ in recent) / seconds if seconds else None
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


def _add_shard(states: ShardStates, folder: Path, settings: dict, expected: float) -> None:
    record = _read(folder / "shard.json")
    if record is not None and record.get("settings") == settings:
        finished = (folder / "shard.json").stat().st_mtime
        states.finished = max(states.finished, finished)
        _add_done(states, record, _read(folder / "speed.json"), finished)
        return
    work = folder / ".work"
    journal = _read(work / "journal.json") or {}
    running = is_held(work / "lock")
    states.running += running
    states.interrupted += bool(journal) and not running
    states.waiting += not journal and not running
    states.tokens += journal.get("n_tokens", expected)
    states.tokens_done += journal.get("tokens", 0)
    if running and journal.get("seconds"):
        saved = (work / "journal.json").stat().st_mtime
        states.timed.append((saved, journal["tokens"], journal["seconds"]))


def saved_work(results: Path) -> int:
    """Number of embedding jobs with saved work, which a rerun continues."""
    journals = (_read(path) or {} for path in results.glob("**/.work/journal.json"))
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
        if output.exists() or not log.exists() or is_held(output.parent / ".work" / "lock"):
            continue
        error = last_error(log)
        if error:
            found.append(Failure(job.name, str(log), error))
    return found


def last_error(log: Path) -> str | None:
    """The last error in a job's log, in one line; None if there is none."""
    with open(log, "rb") as handle:
        handle.seek(0, 2)
        handle.seek(max(handle.tell() - _TAIL, 0))
        lines = handle.read().decode("utf-8", "replace").splitlines()
    errors = [line for line in lines if " ERROR " in line]
    traceback = any(line.startswith("Traceback (most recent call last)") for line in lines)
    if traceback:
        # Its last line has the exception's name and message.
        said = [line for line in lines if line.strip() and not line.startswith(" ")]
        return said[-1].strip()
    return errors[-1].split(" ERROR ", 1)[1].strip() if errors else None
