"""What a reader should know first: one sentence each, with a link to its section."""

import json

from evo2_embed.io.text import human_bytes
from evo2_embed.report.best import Best
from evo2_embed.report.burn_in import TITLE as CONTEXT
from evo2_embed.report.burn_in import settled
from evo2_embed.report.genomes import TITLE as GENOMES
from evo2_embed.report.html import anchor, cards, escape, section
from evo2_embed.report.layers import TITLE as LAYERS
from evo2_embed.report.run import TITLE as RUN
from evo2_embed.report.run import self_check
from evo2_embed.report.summary import Result


def findings(
    results: list[Result], best: dict[str, Best], measured: dict[str, dict], others: str
) -> str:
    """The section.

    Parameters
    ----------
    results : list of Result
    best : dict of str to Best
        Of each extraction that has layers.
    measured : dict of str to dict
        By extraction, what `burn_in.measure.measure_burn_in` wrote.
    others : str
        The other sections. A finding without a section there has no link.
    """
    first, found = results[0], []
    for result in results:
        of = f" of {result.name}" if len(results) > 1 else ""
        if result.name in best:
            found.append((f"Best layer{of}", best[result.name].why, f"{LAYERS}: {result.name}"))
        record = measured.get(result.name)
        if record and record["reason"] is None:
            found.append((f"Context{of}", settled(record), f"{CONTEXT}: {result.name}"))
        found.append((f"Self-check{of}", self_check(result), RUN))
    found.append(("Skipped", _skipped(first), GENOMES))
    numbers = cards(
        {
            "genomes": f"{len(first.manifest['genomes']):,}",
            "windows": f"{first.total('n_chunks'):,}",
            "tokens": f"{first.total('n_tokens'):,}",
            "rows in all datasets": f"{sum(result.rows for result in results):,}",
            "on disk": human_bytes(sum(result.bytes for result in results)),
        }
    )
    lines = "".join(_line(*each, others) for each in found)
    return section("Findings", f"{numbers}<ul class=findings>{lines}</ul>{_code(first, best)}")


def _line(name: str, text: str, title: str, others: str) -> str:
    place = anchor(title)
    linked = f'id="{place}"' in others
    head = f'<a href="#{place}">{escape(name)}</a>' if linked else f"<b>{escape(name)}</b>"
    return f"<li>{head} {escape(text)}</li>"


def _skipped(result: Result) -> str:
    skipped = [f"{number:,} x {reason}" for reason, number in result.skipped.items()]
    if result.left_out:
        skipped.insert(0, f"{len(result.left_out):,} genome(s) left out")
    return f"{'; '.join(skipped)}." if skipped else "Nothing was skipped."


def _code(result: Result, best: dict[str, Best]) -> str:
    """Code that opens the best dataset of the first extraction."""
    if not result.written:
        return ""
    layer = best[result.name].layer if result.name in best else next(iter(result.written))
    folder = result.folder.parent.parent
    names = ", ".join(json.dumps(str(each)) for each in (folder, result.name, layer))
    code = (
        "import evo2_embed  # pip install . in the folder of the workflow\n\n"
        f"ds = evo2_embed.open({names})\n"
        "keys, vectors = ds.keys(), ds.numpy()"
    )
    lines = "\n".join(map(escape, code.split("\n")))
    return f'<pre class=code tabindex=0 role=region aria-label="loading code">{lines}</pre>'
