"""The heads that were applied to an extraction."""

from evo2_embed.io.text import shown
from evo2_embed.report.html import note, section, table
from evo2_embed.report.summary import Result

MOST_NAMED = 4  # classes named in a line


def heads(result: Result) -> str:
    """A table of the heads; nothing without one."""
    found = result.heads
    if not found:
        return ""
    rows = [
        (name, entry["head"]["layer"], outputs_of(entry), f"{entry['rows']:,}")
        for name, entry in found.items()
    ]
    where = note(f"Datasets: results/heads/{result.name}/")
    return section(
        f"Heads: {result.name}", table(("head", "layer", "per row", "rows"), rows, "heads") + where
    )


def summary_lines(result: Result) -> list[str]:
    """A line per head for the summary."""
    return [
        f"head {name}: {outputs_of(entry)} from {entry['head']['layer']}, {entry['rows']:,} rows: "
        f"results/heads/{result.name}/{name}/"
        for name, entry in result.heads.items()
    ]


def outputs_of(entry: dict) -> str:
    """What a head gives per row, in words."""
    head = entry["head"]
    if head["k"]:
        return f"{head['k']:,} of {head['outputs']:,} features"
    classes = head["classes"]
    if not classes:
        return f"{head['outputs']:,} number(s)"
    rest = len(classes) - MOST_NAMED
    named = ", ".join(map(shown, classes[:MOST_NAMED]))
    return f"{named} and {rest} more" if rest > 0 else named
