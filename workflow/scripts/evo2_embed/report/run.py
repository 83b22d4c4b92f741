"""The run: its speed and packing, and what the datasets were made from; folded."""

import json
from itertools import cycle

from evo2_embed.finetune.dataset import summary_lines
from evo2_embed.io.text import human_bytes
from evo2_embed.report.colours import PALETTE
from evo2_embed.report.html import Amount, escape, fold, note, plot, section, table
from evo2_embed.report.numbers import between, duration, memory
from evo2_embed.report.stages import Stage
from evo2_embed.report.summary import Result

TITLE = "The run"
FEWEST_SHARDS = 6  # that are drawn; fewer are in a table


def run(results: list[Result], stages: list[Stage], training_set: dict | None, written: str) -> str:
    """The section.

    Parameters
    ----------
    results : list of Result
    stages : list of Stage
    training_set : dict, optional
        The summary of `finetune.dataset`.
    written : str
        When the page was written.
    """
    body = (
        f"<h3>Speed</h3>{_shards(results)}{_stages(stages)}"
        f"<h3>Packing</h3>{_packing(results)}{_training_set(training_set)}"
        f"<h3>Provenance</h3>{_provenance(results, written)}"
    )
    return section(TITLE, fold("Speed, packing, settings, versions and digests", body))


def _shards(results: list[Result]) -> str:
    """Speed of every shard: a table of a few, a figure of many."""
    number = sum(len(result.shards) for result in results)
    if number >= FEWEST_SHARDS:
        return _speeds(results)
    rows = [
        (
            result.name,
            shard["shard"],
            f"{shard['n_tokens']:,}",
            f"{shard['tokens_per_second']:,.0f}" if shard["tokens_per_second"] else "-",
            shard["device"] or "-",
            Amount(memory(shard["peak_memory_mb"] or 0), shard["peak_memory_mb"] or 0),
        )
        for result in results
        for shard in result.shards
    ]
    heads = ("extraction", "shard", "tokens", "tokens per second", "device", "peak memory")
    return table(heads, rows, "speed of the shards")


def _speeds(results: list[Result]) -> str:
    traces = []
    for result, colour in zip(results, cycle(PALETTE)):
        shards = [shard for shard in result.shards if shard["tokens_per_second"]]
        about = [
            [s["device"], memory(s["peak_memory_mb"] or 0), f"{s['n_tokens']:,}"] for s in shards
        ]
        traces.append(
            {
                "type": "bar",
                "x": [escape(shard["shard"]) for shard in shards],
                "y": [shard["tokens_per_second"] for shard in shards],
                "name": escape(result.name),
                "marker": {"color": colour},
                "customdata": about,
                "hovertemplate": "%{x}: %{y:,.0f} tokens/s<br>%{customdata[2]} tokens on "
                "%{customdata[0]}, %{customdata[1]}",
            }
        )
    named = sum(len(trace["x"]) for trace in traces) <= 24
    layout = {
        "height": 320,
        "xaxis": {"title": {"text": "shard"}, "showticklabels": named},
        "yaxis": {"title": {"text": "tokens per second"}},
    }
    speeds = [speed for trace in traces for speed in trace["y"]]
    measured = f"{between(speeds, 0)} tokens per second" if speeds else "not measured"
    return plot(traces, layout, f"Speed of {len(speeds):,} shards: {measured}.")


def _stages(stages: list[Stage]) -> str:
    if not stages:
        return ""
    rows = [
        (
            stage.rule,
            f"{stage.jobs:,}",
            Amount(duration(stage.seconds), stage.seconds),
            Amount(duration(stage.longest), stage.longest),
            Amount(memory(stage.peak_mb), stage.peak_mb),
        )
        for stage in stages
    ]
    heads = ("stage", "jobs", "time, all jobs", "time, longest job", "peak memory per job")
    told = note("From the rules' benchmarks, for the latest run of each job.")
    return table(heads, rows, "time and memory of the stages") + told


def _packing(results: list[Result]) -> str:
    rows = [
        (
            result.name,
            f"{result.total('n_packs'):,}",
            f"{result.room_share:.1%}",
            f"{result.padding_share:.1%}",
        )
        for result in results
    ]
    heads = ("extraction", "packs", "capacity used", "padding if padded")
    return table(heads, rows, "packing") + note(
        "Padding if padded: the share of padding if the same windows ran in batches of the same "
        "size, in their order, each padded to its longest window."
    )


def _training_set(summary: dict | None) -> str:
    if summary is None:
        return ""
    return "<h3>Training set</h3>" + "".join(map(note, summary_lines(summary)))


def _provenance(results: list[Result], written: str) -> str:
    parts = [note(f"Page written {written}.")]
    for result in results:
        manifest = result.manifest
        packages = ", ".join(f"{name} {number}" for name, number in manifest["packages"].items())
        rows = [
            ("model", manifest["model"]),
            ("checkpoint, SHA-256", manifest["checkpoint_sha256"]),
            ("engine, precision", f"{manifest['engine']}, {manifest['precision']}"),
            ("self-check", self_check(result)),
            ("pooling", json.dumps(manifest["pooling"])),
            ("packages", packages),
            ("workflow", manifest["workflow"]),
            ("windows", json.dumps(manifest["settings"]["windows"]["windows"])),
            ("packing", json.dumps(result.packing.to_dict())),
            ("size of all datasets", human_bytes(result.bytes)),
            *(
                (f"dataset {name}, digest", dataset["digest"])
                for name, dataset in result.written.items()
            ),
        ]
        name = escape(result.name)
        parts.append(f"<h4>{name}</h4>{table(('what', 'value'), rows, f'provenance of {name}')}")
    return "".join(parts)


def self_check(result: Result) -> str:
    """What the engine's comparison with the stock model found, in a sentence."""
    # Fusions have no self-check of their own.
    checks = [check for entry in result.written.values() if (check := entry.get("self_check"))]
    if not checks:
        return "None was made (stock engine, or no windows)."
    worst = max(check["difference"] for check in checks)
    return f"Maximum difference from Evo2.forward {worst:.1e}, allowed {checks[0]['tolerance']:g}."
