"""How likely the model finds the sequence: bits per base along each contig."""

import polars as pl

from evo2_embed.dataset.dataset import Dataset, to_polars
from evo2_embed.dataset.kinds import ScoresDataset
from evo2_embed.dataset.scores import bits_per_base
from evo2_embed.io.tables import OF_VARIANT
from evo2_embed.report.drawn_rows import Column, Labels, choose_rows, encoded_rows, row_columns
from evo2_embed.report.explorer import track
from evo2_embed.report.html import cards, note, section
from evo2_embed.report.summary import Result
from evo2_embed.settings.analyses import Report
from evo2_embed.settings.extraction import SCORES

BITS = "bits per base"


def bits_of(keys: pl.DataFrame, dataset: Dataset, result: Result) -> list[float | None] | None:
    """Bits per base of rows of a dataset; None if the extraction has no scores of these rows.

    If the scores are means of both strands, both rows of a window have the same. The scores are
    read row group by row group.
    """
    known = result.scores
    if known is None or known["bits_per_base"] is None or known["rows"] > dataset.rows:
        return None  # the rows join strands, and the scores do not
    columns = ["genome", "contig", "start", "end", "name"]
    if known["rows"] == dataset.rows:
        columns.append("strand")
    columns += [name for name in OF_VARIANT if name in keys.columns]
    scores = ScoresDataset(result.folder / f"{SCORES}.json", known)
    wanted, found = keys.select(columns), []
    for table in scores.row_groups([*columns, "mean"]):
        rows = to_polars(table)
        found.append(rows.join(wanted, on=columns, how="semi", nulls_equal=True))
    means = pl.concat(found).unique(columns)
    joined = wanted.join(means, on=columns, how="left", nulls_equal=True, maintain_order="left")
    return bits_per_base(joined["mean"]).to_list()


def draw_scores(
    result: Result, settings: Report, labels: Labels | None
) -> tuple[pl.DataFrame, dict[str, Column]] | None:
    """Keys and columns of the rows of an extraction that have a score; None without scores."""
    known = result.scores
    if known is None or known["bits_per_base"] is None:
        return None
    dataset = ScoresDataset(result.folder / f"{SCORES}.json", known)
    rows = to_polars(dataset.take(choose_rows(dataset, settings.points)))
    rows = rows.filter(pl.col("mean").is_not_null())
    numbers = {BITS: (bits_per_base(rows["mean"]).to_list(), ".3f")}
    return rows, row_columns(rows, labels, {}, numbers)


def scores(
    result: Result,
    drawn: tuple[pl.DataFrame, dict[str, Column]] | None,
    colours: dict[str, dict[str, str]],
) -> str:
    """The section on the scores of an extraction; empty without scores.

    Parameters
    ----------
    result : Result
    drawn : tuple, optional
        Given by `draw_scores`.
    colours : dict of dict
        See `drawn_rows.column_colours`.
    """
    known = result.scores
    if known is None:
        return ""
    title = f"Scores: {result.name}"
    if drawn is None:
        return section(title, note("No base has a score."))
    rows, columns = drawn
    numbers = cards({BITS: f"{known['bits_per_base']:.3f}", "rows": f"{known['rows']:,}"})
    joined = known["strands"] == "mean"
    means = "Rows are means of both strands. " if joined else ""
    explained = note(
        f"{len(rows):,} of {known['rows']:,} rows, evenly spaced. {means}Bits per base: "
        "-mean / ln 2, where mean is the mean of log p(base, given the bases before it). Lower "
        "means that the model finds the sequence more likely. 2 bits (dotted): four bases that are "
        "equally likely."
    )
    drawing = track(encoded_rows(rows, columns), colours, BITS, line=2, joined=joined)
    return section(title, numbers + drawing + explained)
