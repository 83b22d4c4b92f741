"""The estimated cost of a run, as text and as JSON."""

from dataclasses import asdict, dataclass

from evo2_embed.io.text import human_bytes, status_line, text_table, wrapped
from evo2_embed.plan.bundles import Bundle
from evo2_embed.plan.estimate import Estimate, GenomeEstimate, LayerEstimate
from evo2_embed.plan.peak import SEGMENTS, Peak
from evo2_embed.plan.prices import share_prices
from evo2_embed.plan.speeds import Speed
from evo2_embed.plan.tokens import tokens_of_base
from evo2_embed.settings.extraction import bin_of
from evo2_embed.settings.settings import Settings

SHOWN_GENOMES = 10


@dataclass(frozen=True)
class Cost:
    """A run and its estimated cost.

    Attributes
    ----------
    speeds, peaks, contexts : dict
        By extraction; memory of GPUs only if GPUs are used.
    free : int
        Free bytes on the disk of the results.
    fault : str or None
        Why a run would not start.
    warnings : list of str
    """

    settings: Settings
    bundles: dict[str, Bundle]
    estimate: Estimate
    speeds: dict[str, list[Speed]]
    peaks: dict[str, Peak]
    contexts: dict[str, dict[int, dict[int, int]]]
    free: int
    fault: str | None
    warnings: list[str]

    def hours(self, speed: Speed) -> float:
        """Hours of embedding of one extraction at a speed, for all its jobs together."""
        return self.estimate.tokens / speed.tokens_per_second / 3600


def as_json(cost: Cost) -> dict:
    """The cost as numbers: bytes, tokens, hours."""
    estimate = cost.estimate
    return {
        "totals": {
            "genomes": len(estimate.genomes),
            "bases": sum(genome.bases for genome in estimate.genomes),
            "windows": estimate.windows,
            "tokens": estimate.tokens,
            "shards": estimate.shards,
            "chunk_table_bytes": estimate.chunk_bytes,
            "pack_bytes": estimate.pack_bytes,
            "shard_bytes": estimate.shard_bytes,
            "dataset_bytes": estimate.dataset_bytes,
            "export_bytes": estimate.export_bytes,
            "finetune_bytes": estimate.finetune_bytes,
            "bytes": estimate.bytes,
            "bytes_with_keep_datasets": estimate.tidied_bytes,
            "free_bytes": cost.free,
        },
        "jobs": estimate.jobs,
        "genomes": [asdict(genome) for genome in estimate.genomes],
        "layers": [asdict(layer) for layer in estimate.layers],
        "speeds": {
            name: [{**asdict(speed), "hours": cost.hours(speed)} for speed in speeds]
            for name, speeds in cost.speeds.items()
        },
        "variants": share_prices(cost.estimate, cost.speeds),
        "context_memory_bytes": cost.contexts,
        "gpu_memory_bytes": {name: asdict(peak) for name, peak in cost.peaks.items()},
        "warnings": [*([cost.fault] if cost.fault else []), *cost.warnings],
    }


def as_text(cost: Cost) -> str:
    """The cost as tables."""
    sections = [
        ("Genomes", _genomes(cost)),
        ("Embedding jobs", _jobs(cost)),
        ("Time of embedding (GPU-hours on a GPU)", _hours(cost)),
        ("Variants, by what their windows share", _variants(cost)),
        ("GPU memory per job (computed, not measured)", _memory(cost)),
        (
            "GPU memory per stretch, by context (computed, with weights)",
            _contexts(cost),
        ),
        ("Datasets", _datasets(cost)),
        ("Disk", _disk(cost)),
        ("Before you start", _advice(cost)),
    ]
    return "\n\n".join(f"{title}\n{text}" for title, text in sections if text) + "\n"


def _advice(cost: Cost) -> str:
    lines = [status_line("FAIL", cost.fault)] if cost.fault else []
    lines += [status_line("WARN", line) for line in cost.warnings]
    return "\n".join(lines or [status_line("OK", "nothing to warn of")])


def _genomes(cost: Cost) -> str:
    genomes, bundles = cost.estimate.genomes, cost.bundles
    shown, others = genomes, []
    if len(genomes) > SHOWN_GENOMES:
        largest = sorted(genomes, key=lambda genome: -genome.tokens)
        shown, others = largest[:SHOWN_GENOMES], largest[SHOWN_GENOMES:]
    rows = [_genome(genome, _shards(bundles[genome.bundle])) for genome in shown]
    if others:
        rows.append(_sum(f"{len(others):,} smaller", others, ""))
    if len(genomes) > 1:
        rows.append(_sum("all", genomes, f"{cost.estimate.shards:,}"))
    notes = [] if all(g.exact for g in genomes) else ["~ estimated from the file size"]
    if any(genome.tiled for genome in genomes):
        times = tokens_of_base(cost.settings.windows)
        how_often = "once" if times == 1 else f"{times:.3g} times"
        notes.append(f"each base of a strand is computed {how_often}")
    return "\n".join([text_table(rows), *notes])


def _genome(genome: GenomeEstimate, shards: str) -> dict:
    return {
        "genome": genome.name,
        "bases": f"{'' if genome.exact else '~ '}{genome.bases:,}",
        "windows": f"{genome.windows:,}",
        "tokens": f"{genome.tokens:,}",
        "shards": shards,
    }


def _shards(bundle) -> str:
    others = len(bundle.genomes) - 1
    return f"{bundle.n_shards:,}" if not others else f"1 for {others + 1:,} genomes"


def _sum(title: str, genomes: list[GenomeEstimate], shards: str) -> dict:
    return {
        "genome": title,
        "bases": f"{sum(g.bases for g in genomes):,}",
        "windows": f"{sum(g.windows for g in genomes):,}",
        "tokens": f"{sum(g.tokens for g in genomes):,}",
        "shards": shards,
    }


def _jobs(cost: Cost) -> str:
    jobs = cost.estimate.jobs
    rest = {name: number for name, number in jobs.items() if name != "embed_shard"}
    others = ", ".join(f"{number:,} {name}" for name, number in rest.items())
    tokens = cost.estimate.tokens / max(cost.estimate.shards, 1)
    each = f"{jobs['embed_shard']:,} embed_shard of about {tokens:,.0f} tokens"
    return f"{each}\n{wrapped(f'other jobs: {others}')}"


def _hours(cost: Cost) -> str:
    rows, sources = [], []
    for name, speeds in cost.speeds.items():
        for speed in speeds:
            source = f"{speed.kind}: {speed.source}"
            sources += [source] if source not in sources else []
            hours = cost.hours(speed)
            rows.append(
                {
                    "extraction": name,
                    "on": speed.device,
                    "tokens/s": f"{speed.tokens_per_second:,.0f}",
                    "all jobs": _duration(hours),
                    "per job": _duration(hours / max(cost.estimate.shards, 1)),
                    "from": f"[{sources.index(source) + 1}]",
                }
            )
    lines = [text_table(rows, 2)] if rows else []
    lines += [wrapped(f"[{number}] {source}") for number, source in enumerate(sources, 1)]
    kinds = {speed.kind for speeds in cost.speeds.values() for speed in speeds}
    if "predicted" in kinds:
        lines.append("predicted speeds are counted, not measured; the first jobs here measure them")
    if "published" in kinds:
        lines.append("published speeds are from other code; the first jobs here measure the speed")
    unknown = [name for name, speeds in cost.speeds.items() if not speeds]
    if unknown:
        lines.append(
            wrapped(
                f"{', '.join(unknown)}: speed unknown. A first job measures it (for example a "
                "sheet with one small genome), or set runtime.tokens_per_second."
            )
        )
    return "\n".join(lines)


def _variants(cost: Cost) -> str:
    """The price of variants for each way of sharing."""
    prices = share_prices(cost.estimate, cost.speeds)
    if not prices:
        return ""
    settings, whole = cost.settings, prices[-1]["tokens"]
    rows = [
        {
            "extraction": name,
            "variants.share": price["share"],
            "tokens": f"{price['tokens']:,}",
            "of none": f"{price['tokens'] / max(whole, 1):.0%}",
            # Without the engine and its kernels, which the table of times names.
            **{device.split(",")[0]: _duration(hours) for device, hours in devices.items()},
            "": "as set" if price["share"] == settings.variants.share else "",
        }
        for price in prices
        for name, devices in price["hours"].items()
    ]
    span = f"contig is counted with windows.context.span: {4 * settings.variants.size}"
    return "\n".join([text_table(rows, 2), *([] if settings.windows.has_spans else [span])])


def _duration(hours: float) -> str:
    if hours >= 1:
        return f"{hours:,.0f} h" if hours >= 100 else f"{hours:.1f} h"
    return f"{hours * 60:.0f} min" if hours * 60 >= 1 else f"{hours * 3600:.0f} s"


def _memory(cost: Cost) -> str:
    rows, on_host = [], any(peak.host for peak in cost.peaks.values())
    for name, peak in cost.peaks.items():
        extraction = cost.settings.extractions[name]
        known = peak.pack is not None
        row = {
            "extraction": name,
            "model": extraction.model.name,
            "precision": extraction.precision,
            "weights": human_bytes(peak.weights),
            "with a full pack": human_bytes(peak.weights + peak.pack) if known else "unknown",
            "at least": human_bytes(peak.weights + peak.least) if known else "unknown",
        }
        if on_host:
            row["KV cache on the host"] = human_bytes(peak.host)
        rows.append(row)
    return text_table(rows, 3) if rows else ""


def _contexts(cost: Cost) -> str:
    rows = [
        {
            "extraction": name,
            "context (tokens)": f"{context:,}",
            **{
                f"segments of {length:,}": human_bytes(sizes[length]) if length in sizes else ""
                for length in SEGMENTS
            },
        }
        for name, contexts in cost.contexts.items()
        for context, sizes in contexts.items()
    ]
    return text_table(rows) if rows else ""


def _datasets(cost: Cost) -> str:
    rows = [
        {
            "extraction": layer.extraction,
            "layer": layer.layer,
            "row": _row(layer.pooling),
            "type": _type(layer),
            "rows": f"{layer.rows:,}",
            "shard files": human_bytes(layer.shard_bytes),
            "dataset": human_bytes(layer.dataset_bytes),
        }
        for layer in cost.estimate.layers
    ]
    return text_table(rows, 4)


def _type(layer: LayerEstimate) -> str:
    if layer.features is None:
        return f"{layer.dtype}[{layer.width:,}]"
    return f"up to {layer.width:,} of {layer.features:,}"


def _row(pooling: str | dict) -> str:
    if bases := bin_of(pooling):
        return "1 base" if bases == 1 else f"{bases:,} bases"
    if isinstance(pooling, dict):
        return f"window (center {pooling['center']:,})"
    return f"window ({pooling})"


def _disk(cost: Cost) -> str:
    estimate = cost.estimate
    parts = {
        "chunk tables": estimate.chunk_bytes,
        "packs": estimate.pack_bytes,
        "shard files": estimate.shard_bytes,
        "datasets": estimate.dataset_bytes,
        "exports": estimate.export_bytes,
        "training set": estimate.finetune_bytes,
    }
    shown = ", ".join(f"{name} {human_bytes(size)}" for name, size in parts.items() if size)
    kept = f"{human_bytes(estimate.bytes)} ({shown}) with keep: all"
    tidied = (
        f"at most {human_bytes(estimate.tidied_bytes)} with keep: datasets and one bundle in work, "
        f"{human_bytes(estimate.bundle_bytes)} more for each further one"
    )
    return wrapped(f"{kept}; {tidied}; {human_bytes(cost.free)} free")
