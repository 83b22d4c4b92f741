"""Tokens per second of an embedding job: measured here, set, predicted, or published by others."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import yaml

from evo2_embed.config.context import longest_stretch
from evo2_embed.io.files import read_json
from evo2_embed.model.registry import RESOURCES
from evo2_embed.settings.sections import Settings

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
       weighted by tokens.
    2. `runtime.tokens_per_second`.
    3. For the packed engine with Triton's kernels, predicted speeds per GPU (`make gpu-cost`).
    4. Published speeds of the model, per GPU and code.
    """
    measured = _measured(results)
    runtime = settings.runtime
    speeds = {}
    for name, extraction in settings.extractions.items():
        key = (extraction.model.name, extraction.precision, extraction.engine)
        here = [
            speed
            for speed in measured[key, runtime.cpu_threads]
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


def _measured(results: Path) -> dict[tuple, list[Speed]]:
    """Speeds by model, precision and engine, and threads."""
    totals: dict[tuple, dict[str, list]] = defaultdict(lambda: defaultdict(lambda: [0, 0.0]))
    for path in results.glob("shards/*/*/*/speed.json"):
        try:
            speed, settings = read_json(path), read_json(path.with_name("shard.json"))["settings"]
            extraction, threads = settings["extraction"], settings["cpu_threads"]
            key = (extraction["model"]["name"], extraction["precision"], extraction["engine"])
            total = totals[key, threads][speed["device"]]
            total[0] += speed["tokens"]
            total[1] += speed["seconds"]
        except (OSError, ValueError, KeyError):
            continue  # being written, or damaged: the stage that needs it says so
    return defaultdict(
        list,
        {
            key: [
                Speed(tokens / seconds, device, "measured", f"{tokens:,} tokens in {results}/")
                for device, (tokens, seconds) in devices.items()
                if seconds
            ]
            for key, devices in totals.items()
        },
    )


def _serves(wanted: str, device: str) -> bool:
    """Whether a speed measured on a device is valid for a run on `runtime.device`."""
    return wanted == "auto" or (wanted == "cpu") == (device == "cpu")
