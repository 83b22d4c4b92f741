"""Warnings before a run: very large datasets, jobs that are too long, too short or too many."""

import math

from evo2_embed.config.context import beyond_training
from evo2_embed.io.text import human_bytes
from evo2_embed.model.registry import blocks_run, model_config
from evo2_embed.plan.estimate import Estimate, LayerEstimate
from evo2_embed.plan.parameters import weight_bytes
from evo2_embed.plan.speeds import Speed
from evo2_embed.plan.tokens import tokens_of_base
from evo2_embed.settings.extraction import Extraction, bin_of
from evo2_embed.settings.settings import Settings

HUGE_DATASET = 1e12  # bytes of one layer
LARGE_BINS = 1e11  # bytes of one layer with one row per bin
MANY_JOBS = 5_000
GOOD_JOBS = 1_000  # advised instead
LONG_JOB, SHORT_RUN = 8 * 3600, 8 * 3600  # seconds
SEVERAL = 4  # GPUs that a user may want to use at once
OVERLAP = 2  # times that a base is computed
MUCH_OVERLAP = 4  # of these, a run says so when it starts
FULL = 0.8  # share of a pack that equal windows should fill
START_SECONDS, READ_BYTES = 10, 1e9  # start of a job without its weights; bytes read per second


def output_fault(settings: Settings, estimate: Estimate) -> str | None:
    """An error line if a run would exceed `max_output_gb`, else None."""
    limit, needed = settings.max_output_gb, estimate.needed_bytes(settings)
    if limit is None or needed <= limit * 1e9:
        return None
    sizes = dict.fromkeys(settings.extractions, 0)
    for layer in estimate.layers:
        sizes[layer.extraction] += layer.shard_bytes + layer.dataset_bytes
    largest = max(sizes, key=sizes.get)
    return (
        f"max_output_gb: results/ would have about {human_bytes(needed)} of packs, shard "
        f"files and datasets, of which {human_bytes(sizes[largest])} for extraction '{largest}' "
        f"(allowed: {human_bytes(limit * 1e9)}; raise it, use larger bins or fewer layers)"
    )


def warnings_of(
    settings: Settings,
    estimate: Estimate,
    speeds: dict[str, list[Speed]],
    free: int,
    temporary: int,
    temporary_free: int,
) -> list[str]:
    """One line per warning.

    Parameters
    ----------
    settings : Settings
    estimate : Estimate
    speeds : dict
        Known speeds by extraction.
    free : int
        Free bytes on the disk of the results.
    temporary, temporary_free : int
        Bytes of temporary files of a job, and free bytes for them.
    """
    lines = beyond_training(settings)
    needed = estimate.needed_bytes(settings)
    if needed > free:
        less = "" if settings.keeps_datasets else " (keep: datasets needs less)"
        lines.append(
            f"disk: results/ will need about {human_bytes(needed)}{less}; "
            f"{human_bytes(free)} are free"
        )
    if temporary > temporary_free:
        lines.append(
            f"TMPDIR: a job will need about {human_bytes(temporary)} for copies of FASTA files; "
            f"{human_bytes(temporary_free)} are free (set TMPDIR, or use bgzip instead of gzip)"
        )
    lines += _left_out(settings, estimate)
    lines += [_huge(layer) for layer in estimate.layers if _is_huge(layer)]
    lines += _too_many(settings, estimate)
    if any(genome.tiled for genome in estimate.genomes):
        lines += _empty_packs(settings)
    lines += _overlaps(settings, estimate) + _short_forks(settings, estimate)
    for name, extraction in settings.extractions.items():
        lines += _job_lengths(name, extraction, estimate, speeds[name])
        lines += _deeper(name, extraction)
    if settings.windows.ambiguous.policy == "skip":
        lines.append(
            "windows.ambiguous: skip: the numbers include windows that will be left out; they are "
            "known only after the sequence is read"
        )
    return lines


def _left_out(settings: Settings, estimate: Estimate) -> list[str]:
    """Genomes without a window, and regions that are too short."""
    short, shortest = estimate.short_regions, f"windows.min_length: {settings.windows.min_length}"
    lines = [f"{shortest} leaves out {short:,} shorter region(s)"] if short else []
    empty = [genome.name for genome in estimate.genomes if not genome.windows]
    if empty:
        more = f" and {len(empty) - 1:,} more" if len(empty) > 1 else ""
        end = "the run will stop"
        if settings.on_bad_genome == "skip":
            end = "the run will leave it out" if not more else "the run will leave them out"
        lines.append(f"genome {empty[0]}{more}: no window is left ({shortest}); {end}")
    return lines


def _is_huge(layer: LayerEstimate) -> bool:
    most = LARGE_BINS if bin_of(layer.pooling) else HUGE_DATASET
    return layer.dataset_bytes > most


def _huge(layer: LayerEstimate) -> str:
    where = f"extractions.{layer.extraction}: {layer.layer} will be"
    size = human_bytes(layer.dataset_bytes)
    bases = bin_of(layer.pooling)
    if not bases:
        return f"{where} {size}: longer windows or fewer genomes make it smaller"
    again = ", and its shard files have the same size" if layer.shard_bytes else ""
    what = "base" if bases == 1 else f"{bases} bases"
    return (
        f"{where} {size}, with one row per {what} ({layer.rows:,} rows){again}: "
        "larger bins, or one row per window (mean), make it smaller"
    )


def _too_many(settings: Settings, estimate: Estimate) -> list[str]:
    jobs = estimate.jobs["embed_shard"]
    if jobs <= MANY_JOBS:
        return []
    tokens = _round_up(estimate.tokens * len(settings.extractions) / GOOD_JOBS)
    how = f"sharding.shard_tokens: {tokens} gives about {GOOD_JOBS:,} jobs"
    if settings.sharding.shards != "auto":
        how = f"sharding: shards: auto and shard_tokens: {tokens}"
    return [f"{jobs:,} embedding jobs: more than {MANY_JOBS:,} are slow to plan and start; {how}"]


def _empty_packs(settings: Settings) -> list[str]:
    """Packs that one more window, or one fewer, would fill better."""
    packing, windows = settings.packing, settings.windows
    tokens = windows.size + packing.bos
    held = packing.max_tokens // tokens
    alone = windows.context.span in ("size", windows.size) and windows.stride == windows.size
    if not held or not alone or held * tokens >= FULL * packing.max_tokens:
        return []
    return [
        f"packing.max_tokens: {packing.max_tokens} holds {held} window(s) of {tokens:,} tokens, "
        f"{held * tokens / packing.max_tokens:.0%} of a pack; {(held + 1) * tokens} holds "
        f"{held + 1}"
    ]


def _short_forks(settings: Settings, estimate: Estimate) -> list[str]:
    """Packs that alternates cannot fill: few states of references may wait for them."""
    points = sum(genome.points for genome in estimate.genomes)
    if not points:
        return []
    from evo2_embed.pack.assign import TOKENS_PER_STATE  # imports numpy, which others do not need

    tokens = sum(genome.tokens for genome in estimate.genomes if genome.points)
    full = tokens / (points * TOKENS_PER_STATE)
    if full >= FULL:
        return []
    return [
        f"variants.downstream: {settings.variants.downstream}: alternates are so short that packs "
        f"will be about {full:.0%} full (a job keeps one state of a reference per "
        f"{TOKENS_PER_STATE} tokens of a pack). The same tokens run, in more forward passes"
    ]


def _overlaps(settings: Settings, estimate: Estimate) -> list[str]:
    """Windows, or stretches, that run each base several times."""
    tiled = any(genome.tiled for genome in estimate.genomes)
    return overlap_lines(settings, tiled, OVERLAP)


def overlap_lines(settings: Settings, tiled: bool, least: float) -> list[str]:
    """A warning if each base is computed at least so many times.

    Parameters
    ----------
    settings : Settings
    tiled : bool
        Whether windows tile whole contigs of a genome.
    least : float
    """
    windows, times = settings.windows, tokens_of_base(settings.windows)
    if times < least or not tiled:
        return []
    if windows.has_spans:
        why = f"context: min {windows.context.min} of span {windows.context.span}"
    else:
        why = f"stride: {windows.stride} of size {windows.size}"
    return [f"windows.{why}: each base of a strand is computed {times:.3g} times"]


def _job_lengths(
    name: str, extraction: Extraction, estimate: Estimate, speeds: list[Speed]
) -> list[str]:
    """Jobs that are too long or too short, at the slowest speed."""
    if not speeds or not estimate.tokens:
        return []
    total = estimate.tokens / min(speed.tokens_per_second for speed in speeds)
    seconds = total / estimate.shards
    weights = weight_bytes(model_config(extraction.model.name), "bf16")
    loading = START_SECONDS + weights / READ_BYTES
    where = f"extractions.{name}: an embedding job"
    if seconds > LONG_JOB:
        return [
            f"{where} will run for {seconds / 3600:,.0f} hours; "
            f"sharding.shard_tokens: {_round_up(estimate.tokens / total * 3600)} gives jobs of 1 h"
        ]
    if estimate.shards < SEVERAL and total > SHORT_RUN:
        return [
            f"extractions.{name}: {estimate.shards} embedding job(s) of "
            f"{seconds / 3600:,.0f} hours leave other GPUs idle; smaller sharding.shard_tokens "
            "gives more jobs"
        ]
    if estimate.shards > 1 and seconds < loading:
        return [
            f"{where} will embed for {seconds:,.0f} s, less than its start and the reading of the "
            f"weights (about {loading:,.0f} s at 1 GB/s); larger sharding.shard_tokens gives fewer "
            "jobs"
        ]
    return []


def _deeper(name: str, extraction: Extraction) -> list[str]:
    """Blocks that run for scores only."""
    blocks = model_config(extraction.model.name)["num_layers"]
    needed = blocks_run(model_config(extraction.model.name), extraction.layers)
    if not extraction.scores or not extraction.layers or needed == blocks:
        return []
    if extraction.engine == "stock":
        return []  # it always runs all blocks
    return [
        f"extractions.{name}: scores run all {blocks} blocks of {extraction.model.name}, and its "
        f"layers need {needed}: without scores a job takes about {needed / blocks:.0%} of the time"
    ]


def _round_up(number: float) -> int:
    """A number of tokens, rounded up to two significant digits."""
    unit = 10 ** max(math.floor(math.log10(max(number, 1))) - 1, 0)
    return math.ceil(number / unit) * unit
