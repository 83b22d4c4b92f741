"""Write the report page and the summary for the terminal.

In: manifests, the datasets beside them and those of variants, counts and speeds of the shards,
comparisons of layers, burn-in, probes, the training set's summary, the chunk tables.
Out: report.html, summary.txt, numbers for MultiQC.
"""

from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import yaml
from evo2_embed.analysis.probes.rows import label_rows
from evo2_embed.io.files import atomic_path, read_json, write_json
from evo2_embed.plan.rules import RULES
from evo2_embed.report import heads
from evo2_embed.report.best import Best, best_layer, summary_line
from evo2_embed.report.effects import read_effects, summary_lines
from evo2_embed.report.multiqc import genome_statistics, layer_table
from evo2_embed.report.render import About, Sources, render_report
from evo2_embed.report.stages import read_stages
from evo2_embed.report.summary import Result, load_results, render_summary
from evo2_embed.run.frozen import RUN_CONFIG, frozen_settings
from evo2_embed.run.job import workflow_job
from evo2_embed.settings.analyses import Probe, Report

BENCHMARKS = Path("benchmarks")


def main(
    manifests: list[str],
    shards: list[str],
    sources: Sources,
    settings: dict,
    probe: dict | None,
    genomes: list[str],
    report: str,
    summary: str,
    multiqc: tuple[str, str],
) -> None:
    results = load_results(manifests, shards)
    labels = probe and partial(label_rows, probe=Probe.from_dict(probe), genomes=genomes)
    settings = Report.from_dict({key: settings[key] for key in ("points", "umap")})
    stages = read_stages(BENCHMARKS, [rule for rule in RULES if rule != "write_report"])
    found = {result.name: read_effects(result, settings.points) for result in results}
    effects = {name: mine for name, mine in found.items() if mine is not None}
    best = best_layers(results, sources)
    lines = [line for name, mine in effects.items() for line in summary_lines(name, mine)]
    lines += [line for result in results for line in heads.summary_lines(result)]
    lines += [summary_line(name, mine) for name, mine in best.items()]
    about = About(
        datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        yaml.safe_dump(frozen_settings(RUN_CONFIG).to_dict(), sort_keys=False, width=100),
    )
    page = render_report(results, sources, stages, settings, labels, effects, best, about)
    layer = best[results[0].name].layer if results[0].name in best else None
    with atomic_path(summary) as temporary:
        temporary.write_text(render_summary(results, lines, layer), encoding="utf-8")
    known = map(records, (sources.comparisons, sources.probes, sources.burn_in))
    write_json(multiqc[0], genome_statistics(results))
    write_json(multiqc[1], layer_table(results, *known))
    with atomic_path(report) as temporary:
        temporary.write_text(page, encoding="utf-8")


def records(paths: list[str]) -> dict[str, dict]:
    """Records by extraction, from files `{extraction}.json`."""
    return {Path(path).stem: read_json(path) for path in paths}


def best_layers(results: list[Result], sources: Sources) -> dict[str, Best]:
    """The best layer of each extraction that has layers."""
    compared, probed = records(sources.comparisons), records(sources.probes)
    found = {
        result.name: best_layer(result, compared.get(result.name), probed.get(result.name))
        for result in results
    }
    return {name: best for name, best in found.items() if best}


if "snakemake" in globals():
    with workflow_job(snakemake):
        main(
            list(snakemake.input.manifests),
            list(snakemake.input.shards),
            Sources(
                chunks=list(snakemake.input.chunks),
                comparisons=list(snakemake.input.comparisons),
                burn_in=list(snakemake.input.burn_in),
                probes=[path for path in snakemake.input.probes if path.endswith(".json")],
                training_set=next(iter(snakemake.input.finetune), None),
            ),
            snakemake.params.settings,
            snakemake.params.probe,
            snakemake.params.genomes,
            snakemake.output.report,
            snakemake.output.summary,
            (snakemake.output.genomes, snakemake.output.layers),
        )
