"""A run at work: its jobs, and its progress in one line for the terminal."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from evo2_embed.io.text import MESSAGE, shown
from evo2_embed.run.status import ShardStates, errors_in
from evo2_embed.run.status_text import duration, time_left

EMBED = "embed_shard"
STOPPED = "stopped by SIG"  # how the error of a job begins that saved its work
_LETTERS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


@dataclass
class Jobs:
    """The jobs of a run, from the events of Snakemake.

    Attributes
    ----------
    running : dict of int to str
        Rules of the jobs that run, or wait in the queue of a cluster.
    done, total : int
        Jobs of this run, without those that earlier runs finished.
    failed : int
        Jobs that failed, with every attempt.
    started : bool
        Whether the first job was started.
    """

    running: dict[int, str] = field(default_factory=dict)
    done: int = 0
    total: int = 0
    failed: int = 0
    started: bool = False

    def take(self, event: dict) -> list[str]:
        """Count an event; the lines that the user should see.

        Parameters
        ----------
        event : dict
            `started` and `rule`; `finished`; `failed`, `rule` and `logs`; `done` and `jobs`; or
            `text`.
        """
        if "started" in event:
            self.started = True
            self.running[event["started"]] = event["rule"]
        elif "finished" in event:
            self.running.pop(event["finished"], None)
        elif "failed" in event:
            self.failed += 1
            self.running.pop(event["failed"], None)
            return failure_lines(event["rule"], event["logs"])
        elif "jobs" in event:
            self.done, self.total = event["done"], event["jobs"]
        elif not self.failed:  # after a failure, Snakemake only says once more that there was one
            return event["text"].strip().split("\n")
        return []


def failure_lines(rule: str, logs: list[str]) -> list[str]:
    """One line per error of a job that failed, with its log; WARN if it was stopped by a signal.

    Parameters
    ----------
    rule : str
    logs : list of str
        Its log first, then those of the cluster.
    """
    log = Path(logs[0]) if logs else None
    wildcards = "/".join(log.with_suffix("").parts[2:]) if log else ""
    name = " ".join(filter(None, [rule, wildcards]))
    errors = errors_in(log) if log and log.exists() else []
    if not errors:
        errors = ["ended without a message; it may have been killed, for its memory or its time"]
    where = ", ".join(logs)
    words = ["WARN" if error.startswith(STOPPED) else "FAIL" for error in errors]
    return [
        f"{word}  {name}: {shown(error, MESSAGE)} ({where})"
        for word, error in zip(words, errors, strict=True)
    ]


def progress_line(jobs: Jobs, states: list[ShardStates]) -> str:
    """The progress of a run, without a line break.

    Parameters
    ----------
    jobs : Jobs
    states : list of ShardStates
        Of all extractions.
    """
    parts = []
    tokens = sum(state.tokens for state in states)
    if tokens:
        embedded = sum(state.tokens_done for state in states)
        parts.append(f"{embedded / tokens:.1%} of {_short(tokens)} tokens")
    running = sum(state.running for state in states)
    if running:
        parts += _speed(states)
        parts.append(f"{running:,} {'shard' if running == 1 else 'shards'} running")
    others = Counter(rule for rule in jobs.running.values() if rule != EMBED or not running)
    parts += [rule if number == 1 else f"{rule} x {number:,}" for rule, number in others.items()]
    if jobs.total:
        parts.append(f"{jobs.done:,} of {jobs.total:,} jobs done")
    return ", ".join(parts) or "starting"


def _speed(states: list[ShardStates]) -> list[str]:
    """Speed and time left of all running jobs together, or what they do instead."""
    left = sum(state.tokens - state.tokens_done for state in states)
    speed = sum(state.total_speed or 0.0 for state in states)
    if speed and left > 0:
        return [f"{speed:,.0f} tokens/s", f"{duration(left / speed)} left"]
    return list(dict.fromkeys(time_left(state) for state in states if state.running))


def _short(number: float) -> str:
    """A number with three digits: 193 k."""
    for unit, letter in _LETTERS:
        if number >= unit:
            return f"{number / unit:.3g} {letter}"
    return f"{number:.0f}"
