"""What to think about before a run: what is huge, too long, too small or too much."""

import math

from evo2_embed.config.context import beyond_training
from evo2_embed.io.text import human_bytes
from evo2_embed.model.models import model_config
from evo2_embed.plan.estimate import Estimate, LayerEstimate
from evo2_embed.plan.parameters import weight_bytes
from evo2_embed.plan.speeds import Speed

HUGE_DATASET = 1e12  # bytes of one layer
LARGE_BINS = 1e11  # bytes of one layer of a row for every few bases
MANY_JOBS = 5_000
GOOD_JOBS = 1_000  # that is advised instead
LONG_JOB, SHORT_RUN = 8 * 3600, 8 * 3600  # seconds
SEVERAL = 4  # GPUs that one would like to use at once
START_SECONDS, READ_BYTES = 10, 1e9  # of a job before the model is read, and read in a second


def output_fault(settings: dict, estimate: Estimate) -> str | None:
    """The line that says that a run would exceed `max_output_gb`; None if it would not."""
    limit = settings["max_output_gb"]
    if limit is None or estimate.bytes <= limit * 1e9:
        return None
    sizes = dict.fromkeys(settings["extractions"], 0)
    for layer in estimate.layers:
        sizes[layer.extraction] += layer.shard_bytes + layer.dataset_bytes
    largest = max(sizes, key=sizes.get)
    return (
        f"max_output_gb: results/ would hold about {human_bytes(estimate.bytes)} of packs, shard "
        f"files and datasets, {human_bytes(sizes[largest])} of that for extraction '{largest}' "
        f"(allowed: {human_bytes(limit * 1e9)}; raise it, pool more bases, or take fewer layers)"
    )


def warnings_of(
    settings: dict, estimate: Estimate, speeds: dict[str, list[Speed]], free: int
) -> list[str]:
    """A line for everything that one should look at before the run.

    Parameters
    ----------
    settings : dict
    estimate : Estimate
    speeds : dict
        By extraction, the speeds that are known.
    free : int
        Bytes that are free on the disk of the results.
    """
    fault = output_fault(settings, estimate)
    lines = [*([fault] if fault else []), *beyond_training(settings)]
    if estimate.bytes > free:
        lines.append(
            f"disk: results/ will need about {human_bytes(estimate.bytes)}, and "
            f"{human_bytes(free)} are free"
        )
    lines += [_huge(layer) for layer in estimate.layers if _is_huge(layer)]
    lines += _too_many(settings, estimate)
    for name, extraction in settings["extractions"].items():
        lines += _job_lengths(name, extraction, estimate, speeds[name])
    if settings["windows"]["ambiguous"]["policy"] == "skip":
        lines.append(
            "windows.ambiguous: skip: windows that will be left out are counted here, since which "
            "ones is known only when the sequence is read"
        )
    return lines


def _is_huge(layer: LayerEstimate) -> bool:
    most = LARGE_BINS if isinstance(layer.pooling, dict) else HUGE_DATASET
    return layer.dataset_bytes > most


def _huge(layer: LayerEstimate) -> str:
    where = f"extractions.{layer.extraction}: {layer.layer} will be"
    size = human_bytes(layer.dataset_bytes)
    if not isinstance(layer.pooling, dict):
        return f"{where} {size}: longer windows or fewer genomes make it smaller"
    bases = layer.pooling["bin"]
    again = ", and its shard files as much again" if layer.shard_bytes else ""
    what = "base" if bases == 1 else f"{bases} bases"
    return (
        f"{where} {size}, with a row for every {what} ({layer.rows:,} rows){again}: "
        "larger bins, or one row a window (mean), make it smaller"
    )


def _too_many(settings: dict, estimate: Estimate) -> list[str]:
    jobs = estimate.jobs["embed_shard"]
    if jobs <= MANY_JOBS:
        return []
    tokens = _round_up(estimate.tokens * len(settings["extractions"]) / GOOD_JOBS)
    how = f"sharding.shard_tokens: {tokens} makes about {GOOD_JOBS:,} of them"
    if settings["sharding"]["shards"] != "auto":
        how = f"sharding: shards: auto and shard_tokens: {tokens}"
    return [f"{jobs:,} embedding jobs: more than {MANY_JOBS:,} are slow to plan and start; {how}"]


def _job_lengths(name: str, extraction: dict, estimate: Estimate, speeds: list[Speed]) -> list[str]:
    """Jobs that take too long or not long enough, at the slowest of the speeds."""
    if not speeds or not estimate.tokens:
        return []
    total = estimate.tokens / min(speed.tokens_per_second for speed in speeds)
    seconds = total / estimate.shards
    weights = weight_bytes(model_config(extraction["model"]["name"]), "bf16")
    loading = START_SECONDS + weights / READ_BYTES
    where = f"extractions.{name}: an embedding job"
    if seconds > LONG_JOB:
        return [
            f"{where} will run for {seconds / 3600:,.0f} hours; "
            f"sharding.shard_tokens: {_round_up(estimate.tokens / total * 3600)} makes it one hour"
        ]
    if estimate.shards < SEVERAL and total > SHORT_RUN:
        return [
            f"extractions.{name}: {estimate.shards} embedding job(s) of "
            f"{seconds / 3600:,.0f} hours leave further GPUs idle; smaller sharding.shard_tokens "
            "makes more jobs"
        ]
    if estimate.shards > 1 and seconds < loading:
        return [
            f"{where} will embed for {seconds:,.0f} s, less than it takes to start and read the "
            f"weights (about {loading:,.0f} s at 1 GB/s); larger sharding.shard_tokens makes fewer "
            "jobs"
        ]
    return []


def _round_up(number: float) -> int:
    """A number of tokens with two digits, the rest zeros."""
    unit = 10 ** max(math.floor(math.log10(max(number, 1))) - 1, 0)
    return math.ceil(number / unit) * unit
