"""The label of each row of a dataset, and which labelled rows are used."""

import numpy as np
import polars as pl

from evo2_embed.analysis.probes.formats import BACKGROUND, Labels
from evo2_embed.analysis.probes.intervals import Axis, covered, weighted_mean
from evo2_embed.analysis.probes.labels import read_labels
from evo2_embed.dataset.sampling import evenly
from evo2_embed.io.errors import InputError
from evo2_embed.io.text import shown
from evo2_embed.settings.analyses import Probe

_ROUNDING = 1e-9  # 0.9 * 10 bases must count as 9 bases


def label_rows(keys: pl.DataFrame, probe: Probe, genomes: list[str]) -> np.ndarray:
    """Label rows by the intervals that cover them.

    A row has a label if intervals of that label cover at least `min_overlap` of its bases. If
    several labels do, it gets the one that covers most, or the first by name. BED and GFF3: a row
    is background if all intervals together cover at most the rest of `min_overlap`, and the file
    has intervals of its genome. TSV with numbers: a row has the mean number over its bases if
    intervals cover at least `min_overlap` of them.

    Parameters
    ----------
    keys : DataFrame, n rows
        genome, contig, start, end, strand; genomes and contigs as strings.
    probe : Probe
        Complete settings.
    genomes : list of str
        Names of all genomes of the sheet.

    Returns
    -------
    ndarray, (n,)
        Of object (a string, None for a row without label) or of float64 (NaN for a row without
        number).

    Raises
    ------
    InputError
        If the file of labels has faults, or does not say which genome a contig is of.
    """
    labels = read_labels(probe)
    contigs = keys.select("genome", "contig").unique()
    table = interval_table(labels, contigs, probe.labels, genomes)
    axis = Axis(keys, probe.stranded)
    starts, ends = axis.locate_rows(keys)
    intervals = axis.locate_intervals(table)
    least = probe.min_overlap * (ends - starts) - _ROUNDING
    if labels.kind == "number":
        return _numbers(intervals, starts, ends, least)
    result, any_bases = _classes(intervals, starts, ends, least)
    if labels.background:
        known = keys["genome"].is_in(table["genome"].unique().to_list()).to_numpy()
        rest = (1 - probe.min_overlap) * (ends - starts) + _ROUNDING
        empty = known & (any_bases <= rest) & (any_bases < least)
        result[empty] = BACKGROUND
    return result


def interval_table(
    labels: Labels, contigs: pl.DataFrame, path: str, genomes: list[str]
) -> pl.DataFrame:
    """Intervals as a table: genome, contig, start, end, strand, value.

    Parameters
    ----------
    labels : Labels
    contigs : DataFrame
        genome and contig of the dataset, each pair once, as strings. BED and GFF3 name no genomes:
        their contigs are looked up here, and those that are missing here are left out.
    path : str
        The file of labels, for messages.
    genomes : list of str
        Names of all genomes of the sheet.

    Raises
    ------
    InputError
        If a contig without genome is in several genomes, or a genome is not in the sheet.
    """
    names = ["contig", "start", "end", "strand", "value"]
    table = pl.DataFrame({name: getattr(labels, name) for name in names})
    if not labels.background:
        unknown = sorted(set(labels.genome) - set(genomes))
        if unknown:
            raise InputError(f"probe.labels: {path}: genome '{unknown[0]}' is not in the sheet")
        return table.with_columns(genome=pl.Series(labels.genome, dtype=pl.String))
    contigs = contigs.join(table.select("contig").unique(), on="contig", how="semi")
    twice = contigs.filter(pl.col("contig").is_duplicated()).sort("contig", "genome")
    if len(twice):
        contig, first, second = twice["contig"][0], *twice["genome"][:2]
        raise InputError(
            f"probe.labels: {path}: contig '{shown(contig)}' is in the genomes '{first}' and "
            f"'{second}', and this format has no genomes (allowed: a TSV file, with a column "
            "genome)"
        )
    return table.join(contigs, on="contig", how="inner")


def thin_rows(keys: pl.DataFrame, labelled: np.ndarray, most: int) -> np.ndarray:
    """At most `most` of the labelled rows: evenly spaced windows, each with both strands.

    Parameters
    ----------
    keys : DataFrame
        All rows, in the order of a dataset.
    labelled : ndarray of int64
        Indices of the rows that have a label, ascending.
    most : int

    Returns
    -------
    ndarray of int64
        Row indices, ascending.
    """
    if len(labelled) <= most:
        return labelled
    spans = keys[labelled].select(pl.struct("genome", "contig", "start", "end").rle_id())
    windows = spans.to_series().to_numpy()
    largest = int(np.bincount(windows).max())
    chosen = evenly(int(windows[-1]) + 1, max(1, most // largest))
    return labelled[np.isin(windows, chosen)]


def _classes(
    intervals: pl.DataFrame, starts: np.ndarray, ends: np.ndarray, least: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The label of each row, and how many of its bases any interval covers."""
    result = np.full(len(starts), None, object)
    best = np.zeros(len(starts), np.int64)
    for label in sorted(intervals["value"].unique().to_list()):
        mine = intervals.filter(pl.col("value") == label)
        bases = covered(mine["begin"].to_numpy(), mine["stop"].to_numpy(), starts, ends)
        more = (bases >= least) & (bases > best)
        result[more], best[more] = label, bases[more]
    every = covered(intervals["begin"].to_numpy(), intervals["stop"].to_numpy(), starts, ends)
    return result, every


def _numbers(
    intervals: pl.DataFrame, starts: np.ndarray, ends: np.ndarray, least: np.ndarray
) -> np.ndarray:
    spans = intervals["begin"].to_numpy(), intervals["stop"].to_numpy()
    means = weighted_mean(*spans, intervals["value"].to_numpy(), starts, ends)
    return np.where(covered(*spans, starts, ends) >= least, means, np.nan)
