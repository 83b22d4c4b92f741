"""What was embedded, its packing, its speed, and its provenance."""

import json
from itertools import cycle

from evo2_embed.finetune.dataset import summary_lines
from evo2_embed.io.text import MESSAGE, human_bytes, shown
from evo2_embed.report.colours import PALETTE
from evo2_embed.report.html import cards, escape, note, plot, section, table
from evo2_embed.report.stages import Stage
from evo2_embed.report.summary import Result

MOST_GENOMES = 50


def overview(results: list[Result]) -> str:
    """Genomes, chunks, rows, and skipped sequence with the reasons."""
    first = results[0]
    genomes = first.manifest["genomes"]
    numbers = cards(
        {
            "genomes": f"{len(genomes):,}",
            "chunks": f"{first.total('n_chunks'):,}",
            "tokens": f"{first.total('n_tokens'):,}",
            "rows": f"{sum(result.rows for result in results):,}",
            "on disk": human_bytes(sum(result.bytes for result in results)),
        }
    )
    largest = sorted(genomes, key=lambda genome: -genome["counts"].get("bases", 0))[:MOST_GENOMES]
    rows = [
        (
            genome["genome"],
            *(f"{genome['counts'].get(key, 0):,}" for key in ("contigs", "bases", "chunks")),
            "; ".join(
                f"{number:,} x {reason.removeprefix('skipped: ')}"
                for reason, number in genome["counts"].items()
                if reason.startswith("skipped: ")
            )
            or "nothing",
        )
        for genome in largest
    ]
    rest = len(genomes) - len(largest)
    more = note(f"and {rest:,} smaller genomes") if rest else ""
    heads = ("genome", "contigs", "bases", "chunks", "skipped")
    return section("Overview", numbers + table(heads, rows) + more + _left_out(first))


def _left_out(result: Result) -> str:
    """The genomes that were left out, and why."""
    bad = result.left_out
    if not bad:
        return ""
    rows = [
        (shown(each["genome"]), shown(each["file"], MESSAGE), shown(each["reason"], MESSAGE))
        for each in bad[:MOST_GENOMES]
    ]
    rest = len(bad) - len(rows)
    more = note(f"and {rest:,} more, see results/skipped.tsv") if rest else ""
    return (
        f"<h3>{len(bad):,} genome(s) left out</h3>{table(('genome', 'file', 'reason'), rows)}{more}"
    )


def packing(results: list[Result], training_set: dict | None) -> str:
    """How full the packs are, and the padding that they avoid; also for a training set."""
    rows = [
        (
            result.name,
            f"{result.total('n_packs'):,}",
            f"{result.room_share:.1%}",
            f"{result.padding_share:.1%}",
        )
        for result in results
    ]
    explained = note(
        "Padding if padded: the share of padding if the same chunks ran in batches of the same "
        "size, in their order, each padded to its longest chunk."
    )
    heads = ("extraction", "packs", "capacity used", "padding if padded")
    exported = ""
    if training_set is not None:
        exported = "<h3>Training set</h3>" + "".join(map(note, summary_lines(training_set)))
    return section("Packing", table(heads, rows) + explained + exported)


def speed(results: list[Result], stages: list[Stage]) -> str:
    """Speed of every shard, and time and memory of each stage."""
    traces = []
    for result, colour in zip(results, cycle(PALETTE)):
        shards = [shard for shard in result.shards if shard["tokens_per_second"]]
        traces.append(
            {
                "type": "bar",
                "x": [escape(shard["shard"]) for shard in shards],
                "y": [shard["tokens_per_second"] for shard in shards],
                "name": result.name,
                "marker": {"color": colour},
                "customdata": [[s["device"], s["peak_memory_mb"], s["n_tokens"]] for s in shards],
                "hovertemplate": "%{x}: %{y:,.0f} tokens/s<br>%{customdata[2]:,} tokens on "
                "%{customdata[0]}, %{customdata[1]:,} MB",
            }
        )
    few = max(len(result.shards) for result in results) < 4
    layout = {
        "height": 300,
        "xaxis": {
            "title": {"text": "shard"},
            "showticklabels": sum(len(r.shards) for r in results) <= 24,
        },
        "yaxis": {"title": {"text": "tokens/s"}},
        "bargap": 0.8 if few else 0.2,
    }
    speeds = [speed for trace in traces for speed in trace["y"]]
    alt = "Speed of the shards in tokens per second"
    alt += f", {min(speeds):,.0f} to {max(speeds):,.0f}." if speeds else ": none was measured."
    rows = [
        (
            stage.rule,
            f"{stage.jobs:,}",
            f"{stage.seconds:,.0f}",
            f"{stage.longest:,.0f}",
            f"{stage.peak_mb:,.0f}",
        )
        for stage in stages
    ]
    heads = ("stage", "jobs", "seconds, all jobs", "seconds, longest job", "peak MB per job")
    times = table(heads, rows) + note("From the rules' benchmarks, for the latest run of each job.")
    return section("Speed", plot(traces, layout, alt) + (times if stages else ""))


def provenance(results: list[Result]) -> str:
    """Settings, versions and digests."""
    parts = []
    for result in results:
        manifest = result.manifest
        packages = ", ".join(f"{name} {number}" for name, number in manifest["packages"].items())
        rows = [
            ("model", manifest["model"]),
            ("checkpoint, SHA-256", manifest["checkpoint_sha256"]),
            ("engine, precision", f"{manifest['engine']}, {manifest['precision']}"),
            ("self-check", _self_check(result)),
            ("pooling", json.dumps(manifest["pooling"])),
            ("packages", packages),
            ("workflow", manifest["workflow"]),
            ("windows", json.dumps(manifest["settings"]["windows"]["windows"])),
            ("packing", json.dumps(result.packing.to_dict())),
            *(
                (f"dataset {name}, digest", dataset["digest"])
                for name, dataset in result.written.items()
            ),
        ]
        parts.append(f"<h3>{escape(result.name)}</h3>{table(None, rows)}")
    return section("Provenance", "".join(parts))


def _self_check(result: Result) -> str:
    # Fusions have no self-check of their own.
    checks = [check for entry in result.written.values() if (check := entry.get("self_check"))]
    if not checks:
        return "none (stock engine, or no windows)"
    worst = max(check["difference"] for check in checks)
    return f"maximum difference from Evo2.forward {worst:.1e}, allowed {checks[0]['tolerance']:g}"
