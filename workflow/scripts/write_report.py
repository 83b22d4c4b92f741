"""Write the report page and the summary for the terminal.

In: manifests and the datasets beside them, the shards' speeds and records, the comparisons of
layers, the chunk tables. Out: report.html, summary.txt.
"""

from pathlib import Path

from evo2_embed.files import atomic_path
from evo2_embed.logs import logged_to
from evo2_embed.report.render import render_report
from evo2_embed.report.stages import read_stages
from evo2_embed.summary import load_results, render_summary


def main(
    manifests: list[str],
    speeds: list[str],
    comparisons: list[str],
    chunks: list[str],
    settings: dict,
    stages: list[str],
    report: str,
    summary: str,
) -> None:
    results = load_results(manifests, speeds)
    took = read_stages(Path("benchmarks"), stages)
    with atomic_path(summary) as temporary:
        temporary.write_text(render_summary(results))
    with atomic_path(report) as temporary:
        temporary.write_text(render_report(results, chunks, comparisons, took, settings, None))


if "snakemake" in globals():
    with logged_to(snakemake.log[0]):
        main(
            list(snakemake.input.manifests),
            list(snakemake.input.speeds),
            list(snakemake.input.comparisons),
            list(snakemake.input.chunks),
            snakemake.params.settings,
            snakemake.params.stages,
            snakemake.output.report,
            snakemake.output.summary,
        )
