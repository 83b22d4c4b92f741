"""Tokens per second of an embedding job: measured here, set, predicted, or published by others."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import yaml

from evo2_embed.config.context import longest_stretch
from evo2_embed.io.files import read_json
from evo2_embed.model.registry import RESOURCES, blocks_run, model_config
from evo2_embed.settings.extraction import Extraction
from evo2_embed.settings.settings import Settings

PUBLISHED = RESOURCES / "published_speeds.yaml"
PREDICTED = RESOURCES / "predicted_speeds.yaml"


@dataclass(frozen=True)
class Speed:
    """Tokens per second of one job on a device.

    Attributes
    ----------
    kind : {"measured", "set", "predicted", "published"}
    source : str
        Where the value comes from, for the user.
    """

    tokens_per_second: float
    device: str
    kind: str
    source: str


def known_speeds(settings: Settings, results: Path) -> dict[str, list[Speed]]:
    """Speed of the jobs of each extraction, from the first of these sources that has one.

    1. Earlier jobs in `results` with the same model, precision and engine: per device, the mean
       weighted by tokens. The time of a job that ran fewer blocks, or more, is scaled.
    2. `runtime.tokens_per_second`.
    3. For the packed engine with Triton's kernels, predicted speeds per GPU (`make gpu-cost`).
    4. Published speeds of the model, per GPU and code.
    """
    measured = _measured(results)
    runtime = settings.runtime
    speeds = {}
    for name, extraction in settings.extractions.items():
        here = [
            speed
            for speed in _of_extraction(measured, extraction, runtime.cpu_threads, results)
            if _serves(runtime.device, speed.device)
        ]
        if not here and runtime.tokens_per_second is not None:
            here = [Speed(runtime.tokens_per_second, "one job", "set", "runtime.tokens_per_second")]
        if not here and runtime.device != "cpu":
            tokens = longest_stretch(settings)
            if extraction.engine == "packed" and runtime.kernels != "torch":
                here = predicted_speeds(extraction.model.name, extraction.precision, tokens)
            here = here or published_speeds(extraction.model.name, tokens)
        speeds[name] = here
    return speeds


def predicted_speeds(model: str, precision: str, tokens: int) -> list[Speed]:
    """Predicted speeds of the packed engine per GPU; the length is chosen as for published ones."""
    entries = [entry for entry in _entries(PREDICTED) if entry["precision"] == precision]
    return _at_length(entries, model, tokens, "predicted")


def published_speeds(model: str, tokens: int) -> list[Speed]:
    """Published speeds of a model: per GPU and code, at the shortest published length that is at
    least `tokens` (of a stretch), or at the longest one."""
    return _at_length(_entries(PUBLISHED), model, tokens, "published")


def _entries(table: Path) -> list[dict]:
    return yaml.safe_load(table.read_text(encoding="utf-8"))


def _at_length(entries: list[dict], model: str, tokens: int, kind: str) -> list[Speed]:
    speeds = []
    for entry in entries:
        if model not in entry["models"]:
            continue
        timed = sorted(entry["timed"], key=lambda row: row["tokens"])
        row = next((row for row in timed if row["tokens"] >= tokens), timed[-1])
        speeds.append(
            Speed(
                row["tokens"] / row["seconds"],
                f"{entry['gpu']}, {entry['code']}",
                kind,
                f"{entry['source']}, sequences of {row['tokens']:,}",
            )
        )
    return speeds


@dataclass(frozen=True)
class _Timed:
    """A finished job: what it ran, its device, its tokens and seconds."""

    extraction: Extraction
    threads: int
    device: str
    tokens: int
    seconds: float


def _measured(results: Path) -> list[_Timed]:
    """The finished jobs of a folder of results."""
    jobs = []
    for path, record in _records(results):
        try:
            settings, found = read_json(record)["settings"], read_json(path)
            extraction = Extraction.from_dict(settings["extraction"])
            for speed in found.get("shards", {"": found}).values():
                counts = speed["tokens"], speed["seconds"]
                jobs.append(_Timed(extraction, settings["cpu_threads"], speed["device"], *counts))
        except (OSError, ValueError, KeyError, TypeError):
            continue  # being written, or damaged: the stage that needs it says so
    return jobs


def _records(results: Path) -> Iterator[tuple[Path, Path]]:
    """Files with the speeds of jobs, and records with their settings; of shards, or of bundles
    whose shards were deleted."""
    for path in results.glob("shards/*/*/*/speed.json"):
        yield path, path.with_name("shard.json")
    for folder in results.glob("bundles/*/*/shards"):
        extraction, bundle = folder.parts[-3:-1]
        path = next(folder.glob("*.json"), None)
        if path and not (results / "shards" / extraction / bundle).exists():
            yield path, folder.with_name(path.name)


def _of_extraction(
    jobs: list[_Timed], extraction: Extraction, threads: int, results: Path
) -> list[Speed]:
    """Speeds of an extraction per device, from jobs of the same model, precision and engine."""
    totals: dict[str, list] = defaultdict(lambda: [0, 0.0])
    for job in jobs:
        if (_key(job.extraction), job.threads) == (_key(extraction), threads):
            totals[job.device][0] += job.tokens
            scale = _depth(extraction) / max(_depth(job.extraction), 1)
            totals[job.device][1] += job.seconds * scale
    return [
        Speed(tokens / seconds, device, "measured", f"{tokens:,} tokens in {results}/")
        for device, (tokens, seconds) in totals.items()
        if seconds
    ]


def _key(extraction: Extraction) -> tuple[str, str, str]:
    return extraction.model.name, extraction.precision, extraction.engine


def _depth(extraction: Extraction) -> int:
    """Number of blocks that run for an extraction."""
    config = model_config(extraction.model.name)
    if extraction.engine == "stock":
        return config["num_layers"]
    return blocks_run(config, extraction.outputs)


def _serves(wanted: str, device: str) -> bool:
    """Whether a speed measured on a device is valid for a run on `runtime.device`."""
    return wanted == "auto" or (wanted == "cpu") == (device == "cpu")
