"""Folds for cross-validation, without leakage between neighbours.

A group (a genome, a contig, or a block of a contig) lies within one fold. Rows within the gap of a
tested row, on either strand, are not trained on in the fold that tests it.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

from evo2_embed.analysis.probes.intervals import Axis, covered
from evo2_embed.io.errors import InputError
from evo2_embed.io.text import shown
from evo2_embed.settings.analyses import Probe

SEED = 0
BLOCKS_PER_FOLD = 20
CONTIGS_PER_FOLD = 4  # minimum, for contigs to be the groups


@dataclass(frozen=True)
class Folds:
    """Rows to train on and rows to test in each fold.

    Attributes
    ----------
    splits : list of (ndarray of int64, ndarray of int64)
        For each fold, indices of the training rows and of the tested rows. Every row is tested
        once.
    groups : ndarray of int64, (n,)
        The group of each row.
    by : {"genome", "contig", "block"}
        What the groups are.
    block : int or None
        Bases in a block.
    """

    splits: list[tuple[np.ndarray, np.ndarray]]
    groups: np.ndarray
    by: str
    block: int | None

    @property
    def test_share(self) -> float:
        """Tested rows per training row, n_test / n_train, mean over folds."""
        return float(np.mean([len(test) / len(train) for train, test in self.splits]))


def make_folds(keys: pl.DataFrame, labels: np.ndarray, probe: Probe) -> Folds:
    """Assign labelled rows to folds. The same input gives the same folds.

    Parameters
    ----------
    keys : DataFrame, n rows
        Columns genome, contig, start, end, strand.
    labels : ndarray of object or of float64, (n,)
        A label, or a number, for every row.
    probe : Probe
        Complete settings; `folds`, `group`, `block` and `gap` (bases) are used.

    Raises
    ------
    InputError
        If these rows do not allow such folds. The message says what to change.
    """
    _check_labels(labels, probe)
    by = probe.group if probe.group != "auto" else _choose(keys, probe.folds)
    block = (probe.block or _block(keys, probe.folds)) if by == "block" else None
    groups = _groups(keys, by, block)
    _check_groups(labels, groups, by, probe)
    splitter = GroupKFold if labels.dtype == float else StratifiedGroupKFold
    splitter = splitter(probe.folds, shuffle=True, random_state=SEED)
    # The margin keeps a gap at the end of one contig from reaching into the next one.
    starts, ends = Axis(keys, margin=probe.gap).locate_rows(keys)
    splits = []
    for train, test in splitter.split(groups, _codes(labels), groups):
        spans = starts[test] - probe.gap, ends[test] + probe.gap
        near = covered(*spans, starts[train], ends[train]) > 0
        splits.append((train[~near], test))
    for number, (train, test) in enumerate(splits, 1):
        _check_fold(f"fold {number} of {len(splits)}", labels, train, test, probe.gap)
    return Folds(splits, groups, by, block)


def inner_folds(
    labels: np.ndarray, groups: np.ndarray, folds: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Folds within the training rows, to choose the regularisation. Folds with one label only are
    left out.

    Parameters
    ----------
    labels : ndarray of object or of float64, (n,)
    groups : ndarray of int64, (n,)
    folds : int
    """
    if len(np.unique(groups)) < folds:
        return []
    codes = _codes(labels)
    splitter = GroupKFold(folds, shuffle=True, random_state=SEED)
    return [
        (train, test)
        for train, test in splitter.split(groups, codes, groups)
        if min(len(np.unique(codes[rows])) for rows in (train, test)) > 1
    ]


def _codes(labels: np.ndarray) -> np.ndarray:
    """The index of each row's value among the sorted values, (n,)."""
    return np.unique(labels, return_inverse=True)[1]


def _choose(keys: pl.DataFrame, folds: int) -> str:
    """Contigs if there are enough and none is larger than a fold, else blocks."""
    rows = keys.group_by("genome", "contig").len()["len"]
    enough = len(rows) >= CONTIGS_PER_FOLD * folds and rows.max() * folds <= len(keys)
    return "contig" if enough else "block"


def _block(keys: pl.DataFrame, folds: int) -> int:
    """Bases in a block, for about `BLOCKS_PER_FOLD` blocks per fold; at least two rows long."""
    spans = keys.group_by("genome", "contig").agg(pl.col("end").max() - pl.col("start").min())
    longest = (keys["end"] - keys["start"]).max()
    return max(-(-int(spans["end"].sum()) // (BLOCKS_PER_FOLD * folds)), 2 * int(longest))


def _groups(keys: pl.DataFrame, by: str, block: int | None) -> np.ndarray:
    columns = ["genome"] if by == "genome" else ["genome", "contig"]
    table = keys.select(*columns, block=pl.col("start") // (block or 1))
    columns += ["block"] if by == "block" else []
    return table.select(pl.struct(columns).rank("dense") - 1).to_series().to_numpy().astype(int)


def _check_labels(labels: np.ndarray, probe: Probe) -> None:
    if not len(labels):
        raise InputError(
            f"probe.labels: {probe.labels}: no row gets a label, because no row has min_overlap "
            f"({probe.min_overlap:g}) of its bases in intervals (allowed: a lower "
            "probe.min_overlap, shorter windows, or bins)"
        )
    found = np.unique(labels)
    if len(found) < 2:
        what = "number" if labels.dtype == float else "label"
        raise InputError(
            f"probe.labels: {probe.labels}: all {len(labels):,} labelled rows have the {what} "
            f"'{shown(found[0])}' (expected: at least two; try shorter windows or bins, another "
            "probe.min_overlap, or other labels)"
        )


def _check_groups(labels: np.ndarray, groups: np.ndarray, by: str, probe: Probe) -> None:
    folds, count = probe.folds, len(np.unique(groups))
    if count < folds:
        finer = {"genome": "contig or block", "contig": "block", "block": "a smaller probe.block"}
        other = finer[by] if by == "block" else f"probe.group: {finer[by]}"
        raise InputError(
            f"probe.folds: {folds} folds need at least as many {by}s with labelled rows, and there "
            f"are {count} (allowed: fewer folds, or {other})"
        )
    if labels.dtype == float:
        return
    for label in np.unique(labels):
        mine = labels == label
        if mine.sum() < folds or len(np.unique(groups[mine])) < 2:
            raise InputError(
                f"probe.labels: {probe.labels}: label '{shown(label)}' has {mine.sum():,} rows in "
                f"{len(np.unique(groups[mine]))} {by}s, too few for {folds} folds (expected: "
                f"{folds} rows in 2; leave out that label, or change probe.folds, group or block)"
            )


def _check_fold(
    what: str, labels: np.ndarray, train: np.ndarray, test: np.ndarray, gap: int
) -> None:
    missing = sorted({*np.unique(labels)} - {*labels[train]}) if labels.dtype != float else []
    advice = f"smaller than {gap}, another probe.group or block, or fewer probe.folds"
    if missing:
        raise InputError(
            f"probe.gap: {what} has no row of label '{shown(missing[0])}' to train on, because "
            f"rows near tested ones are left out (allowed: a gap {advice}; or leave out that label)"
        )
    for rows, purpose in ((train, "train on"), (test, "test")):
        if len(np.unique(labels[rows])) < 2:
            raise InputError(
                f"probe.folds: {what} has fewer than two different labels or numbers to {purpose} "
                f"(allowed: a probe.gap {advice})"
            )
