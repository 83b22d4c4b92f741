"""The label of each row of a dataset, and which labelled rows are used."""

import numpy as np
import polars as pl

from evo2_embed.analysis.probes.formats import BACKGROUND, Labels
from evo2_embed.analysis.probes.intervals import Axis, covered, weighted_mean
from evo2_embed.analysis.probes.labels import read_labels
from evo2_embed.dataset.sampling import evenly
from evo2_embed.io.errors import InputError

_ROUNDING = 1e-9  # 0.9 of 10 bases are 9


def label_rows(keys: pl.DataFrame, probe: dict, genomes: list[str]) -> np.ndarray:
    """Label rows by the intervals that cover them.

    A row has a label if intervals with it cover at least `min_overlap` of its bases; of several
    labels, the one that covers most, or the first by name. BED and GFF3: a row of a genome that
    the file says something about is background if all intervals together cover at most the rest of
    `min_overlap`. TSV with numbers: the mean number over the row's bases, if intervals cover at
    least `min_overlap` of them.

    Parameters
    ----------
    keys : DataFrame, n rows
        genome, contig, start, end, strand; genomes and contigs as strings.
    probe : dict
        The section of the settings.
    genomes : list of str
        The genomes of the sheet.

    Returns
    -------
    ndarray of object (a string, or None for no label) or of float64 (NaN for no number), (n,)

    Raises
    ------
    InputError
        When the file is not as it should be, or does not say which genome it means.
    """
    labels = read_labels(probe)
    table = interval_table(labels, keys.select("genome", "contig").unique(), probe, genomes)
    axis = Axis(keys, probe["stranded"])
    starts, ends = axis.place_rows(keys)
    placed = axis.place_intervals(table)
    least = probe["min_overlap"] * (ends - starts) - _ROUNDING
    if labels.kind == "number":
        return _numbers(placed, starts, ends, least)
    result, any_bases = _classes(placed, starts, ends, least)
    if labels.background:
        known = keys["genome"].is_in(table["genome"].unique().to_list()).to_numpy()
        rest = (1 - probe["min_overlap"]) * (ends - starts) + _ROUNDING
        empty = known & (any_bases <= rest) & (any_bases < least)
        result[empty] = BACKGROUND
    return result


def interval_table(
    labels: Labels, contigs: pl.DataFrame, probe: dict, genomes: list[str]
) -> pl.DataFrame:
    """Intervals as a table: genome, contig, start, end, strand, value.

    Parameters
    ----------
    labels : Labels
    contigs : DataFrame
        genome and contig, each pair once, as strings: where intervals may lie. BED and GFF3 have no
        genomes; their contigs are looked for here, and those that are not here are left out.
    probe : dict
    genomes : list of str

    Raises
    ------
    InputError
        When a contig is in several genomes and the file does not say which one it means, or names
        a genome that there is not.
    """
    names = ["contig", "start", "end", "strand", "value"]
    table = pl.DataFrame({name: getattr(labels, name) for name in names})
    where = f"probe.labels: {probe['labels']}"
    if not labels.background:
        unknown = sorted(set(labels.genome) - set(genomes))
        if unknown:
            raise InputError(f"{where}: genome '{unknown[0]}' is not in the sheet")
        return table.with_columns(genome=pl.Series(labels.genome, dtype=pl.String))
    contigs = contigs.join(table.select("contig").unique(), on="contig", how="semi")
    twice = contigs.filter(pl.col("contig").is_duplicated()).sort("contig", "genome")
    if len(twice):
        contig, first, second = twice["contig"][0], *twice["genome"][:2]
        raise InputError(
            f"{where}: contig '{contig}' is in the genomes '{first}' and '{second}', and this "
            "format does not say which one it means (allowed: a TSV file, with a column genome)"
        )
    return table.join(contigs, on="contig", how="inner")


def thin_rows(keys: pl.DataFrame, labelled: np.ndarray, most: int) -> np.ndarray:
    """At most `most` of the labelled rows: evenly spaced windows, each with both its strands.

    Parameters
    ----------
    keys : DataFrame
        All rows, sorted as a dataset is.
    labelled : ndarray of int64
        Numbers of the rows that have a label, ascending.
    most : int

    Returns
    -------
    ndarray of int64
        Numbers of rows, ascending.
    """
    if len(labelled) <= most:
        return labelled
    spans = keys[labelled].select(pl.struct("genome", "contig", "start", "end").rle_id())
    windows = spans.to_series().to_numpy()
    largest = int(np.bincount(windows).max())
    chosen = evenly(int(windows[-1]) + 1, max(1, most // largest))
    return labelled[np.isin(windows, chosen)]


def _classes(
    placed: pl.DataFrame, starts: np.ndarray, ends: np.ndarray, least: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The label of each row, and how many of its bases any interval covers."""
    result = np.full(len(starts), None, object)
    best = np.zeros(len(starts), np.int64)
    for label in sorted(placed["value"].unique().to_list()):
        mine = placed.filter(pl.col("value") == label)
        bases = covered(mine["begin"].to_numpy(), mine["stop"].to_numpy(), starts, ends)
        more = (bases >= least) & (bases > best)
        result[more], best[more] = label, bases[more]
    every = covered(placed["begin"].to_numpy(), placed["stop"].to_numpy(), starts, ends)
    return result, every


def _numbers(
    placed: pl.DataFrame, starts: np.ndarray, ends: np.ndarray, least: np.ndarray
) -> np.ndarray:
    spans = placed["begin"].to_numpy(), placed["stop"].to_numpy()
    means = weighted_mean(*spans, placed["value"].to_numpy(), starts, ends)
    return np.where(covered(*spans, starts, ends) >= least, means, np.nan)
