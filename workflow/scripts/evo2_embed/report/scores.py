"""How likely the model finds the sequence: bits per base along each contig."""

import polars as pl

from evo2_embed.dataset.dataset import to_polars
from evo2_embed.dataset.kinds import ScoresDataset
from evo2_embed.dataset.sampling import evenly
from evo2_embed.dataset.scores import bits_per_base
from evo2_embed.report.embeddings import contig_menu, coordinates, rounded
from evo2_embed.report.html import cards, choice, data, note, section
from evo2_embed.report.summary import Result
from evo2_embed.settings.analyses import Report
from evo2_embed.settings.extraction import SCORES


def scores(result: Result, settings: Report) -> str:
    """The section on the scores of an extraction; empty without scores.

    Parameters
    ----------
    result : Result
    settings : Report
    """
    known = result.scores
    if known is None:
        return ""
    title = f"Scores: {result.name}"
    if known["bits_per_base"] is None:
        return section(title, note("No base has a score."))
    dataset = ScoresDataset(result.folder / f"{SCORES}.json", known)
    rows = to_polars(dataset.take(evenly(dataset.rows, settings.points)))
    rows = rows.filter(pl.col("mean").is_not_null())
    keys = coordinates(rows)
    keys["bits"] = rounded(bits_per_base(rows["mean"].to_numpy()).tolist())
    keys["joined"] = known["strands"] == "mean"
    numbers = cards({"bits per base": f"{known['bits_per_base']:.3f}", "rows": f"{dataset.rows:,}"})
    joined = "Rows are means of both strands. " if keys["joined"] else ""
    explained = note(
        f"{len(rows):,} of {dataset.rows:,} rows, evenly spaced. {joined}Bits per base: "
        "-mean / ln 2, where mean is the mean of log p(base, given the bases before it). Lower "
        "means that the model finds the sequence more likely. 2 bits (dotted): four bases that are "
        "equally likely."
    )
    return section(
        title,
        f"{numbers}<div data-scores><div class=choices>{choice('contig', contig_menu(keys))}</div>"
        f"<div class='plot track'></div>{data(keys)}</div>{explained}",
    )
