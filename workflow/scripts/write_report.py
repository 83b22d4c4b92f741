"""Write the report page and the summary for the terminal.

In: manifests and the datasets beside them, the shards' speeds and records, the chunk tables.
Out: report.html, summary.txt.
"""

from evo2_embed.files import atomic_path
from evo2_embed.logs import logged_to
from evo2_embed.report import render_report
from evo2_embed.summary import load_results, render_summary


def main(
    manifests: list[str], speeds: list[str], chunks: list[str], report: str, summary: str
) -> None:
    results = load_results(manifests, speeds)
    with atomic_path(summary) as temporary:
        temporary.write_text(render_summary(results))
    with atomic_path(report) as temporary:
        temporary.write_text(render_report(results, chunks))


if "snakemake" in globals():
    with logged_to(snakemake.log[0]):
        main(
            list(snakemake.input.manifests),
            list(snakemake.input.speeds),
            list(snakemake.input.chunks),
            snakemake.output.report,
            snakemake.output.summary,
        )
