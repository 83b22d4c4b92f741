"""The genomes: a table with the columns of the sheet, their similarity, and what was left out."""

from collections import Counter

from evo2_embed.dataset.dataset import Dataset
from evo2_embed.io.text import MESSAGE, shown
from evo2_embed.report.best import Best
from evo2_embed.report.html import note, section, table
from evo2_embed.report.similarity import similarity
from evo2_embed.report.summary import Result

TITLE = "Genomes"
MOST = 2000  # genomes in the table
MOST_LEFT_OUT = 50
_COUNTS = {"contigs": "contigs", "bases": "bases", "windows": "chunks", "tokens": "tokens"}
_SKIPPED = "skipped: "


def genomes(results: list[Result], best: dict[str, Best]) -> str:
    """The section.

    Parameters
    ----------
    results : list of Result
    best : dict of str to Best
        Of each extraction that has layers.
    """
    first = results[0]
    compared = [
        similarity(result, best[result.name].layer) for result in results if result.name in best
    ]
    return section(TITLE, _table(first, len(results) > 1) + "".join(compared) + _left_out(first))


def _table(result: Result, several: bool) -> str:
    all_of_them = result.manifest["genomes"]
    largest = sorted(all_of_them, key=lambda genome: -genome["counts"].get("bases", 0))[:MOST]
    rows_of, columns = _rows(result), result.columns
    rows = [
        (
            genome["genome"],
            *(_cell(values.get(genome["genome"])) for values in columns.values()),
            *(f"{genome['counts'].get(key, 0):,}" for key in _COUNTS.values()),
            f"{rows_of[genome['genome']]:,}",
            _reasons(genome["counts"]),
        )
        for genome in largest
    ]
    counted = f"rows per layer of {result.name}" if several else "rows per layer"
    heads = ("genome", *map(shown, columns), *_COUNTS, counted, "skipped")
    rest = len(all_of_them) - len(largest)
    more = f"and {rest:,} smaller genomes: results/genomes.parquet has all of them"
    return table(heads, rows, "genomes") + (note(more) if rest else "")


def _cell(value: str | float | None) -> str:
    return "-" if value is None else shown(value)


def _rows(result: Result) -> Counter:
    """Rows of each genome in the first dataset of an extraction."""
    counts = Counter()
    for name, entry in result.datasets.items():
        dataset = Dataset(result.folder / f"{name}.json", entry)
        for group in dataset.row_groups(["genome"]):
            for each in group["genome"].value_counts().to_pylist():
                counts[each["values"]] += each["counts"]
        break
    return counts


def _reasons(counts: dict[str, int]) -> str:
    found = [
        f"{number:,} x {reason.removeprefix(_SKIPPED)}"
        for reason, number in counts.items()
        if reason.startswith(_SKIPPED)
    ]
    return "; ".join(found) or "nothing"


def _left_out(result: Result) -> str:
    """The genomes that were left out, and why."""
    bad = result.left_out
    if not bad:
        return ""
    rows = [
        (shown(each["genome"]), shown(each["file"], MESSAGE), shown(each["reason"], MESSAGE))
        for each in bad[:MOST_LEFT_OUT]
    ]
    rest = len(bad) - len(rows)
    more = note(f"and {rest:,} more, see results/skipped.tsv") if rest else ""
    title = f"<h3>{len(bad):,} genome(s) left out</h3>"
    return title + table(("genome", "file", "reason"), rows, "genomes left out") + more
