"""Time and memory of each stage of a run, from the benchmarks of its rules."""

import csv
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Stage:
    """The jobs of a rule: seconds in all, seconds of the longest, peak memory (MB) per job."""

    rule: str
    jobs: int
    seconds: float
    longest: float
    peak_mb: float


def read_stages(folder: Path, rules: list[str]) -> list[Stage]:
    """The stages that have benchmarks, in the order of `rules`.

    Parameters
    ----------
    folder : Path
        It has a file `{rule}.tsv`, or a folder `{rule}` with one file per job.
    rules : list of str
    """
    stages = []
    for rule in rules:
        files = [*folder.glob(f"{rule}.tsv"), *folder.glob(f"{rule}/**/*.tsv")]
        jobs = [row for file in files for row in _rows(file)]
        if jobs:
            seconds = [_number(job["s"]) for job in jobs]
            peak = max(_number(job["max_rss"]) for job in jobs)
            stages.append(Stage(rule, len(jobs), sum(seconds), max(seconds), peak))
    return stages


def _rows(file: Path) -> list[dict]:
    with open(file, encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle, delimiter="\t"))


def _number(text: str) -> float:
    # A job that ended before its memory was sampled has NA.
    return float(text) if text not in ("NA", "-", "") else 0.0
