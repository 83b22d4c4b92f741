"""Folds that keep neighbours together: rows are tested by a probe that has seen nothing near them.

Groups (genomes, contigs, or blocks of a contig) are never divided; rows of a contig that lie nearer
than the gap to a tested row are trained on in no fold that tests it, whichever strand they are on.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

from evo2_embed.analysis.probes.intervals import Axis, covered
from evo2_embed.io.errors import InputError

SEED = 0
BLOCKS_PER_FOLD = 20
CONTIGS_PER_FOLD = 4  # from which on contigs are groups by themselves


@dataclass(frozen=True)
class Folds:
    """Rows to train on and rows to test, fold by fold; and the groups that are not divided.

    Attributes
    ----------
    parts : list of (ndarray of int64, ndarray of int64)
        Numbers of the rows to train on, and of those to test; every row is tested once.
    groups : ndarray of int64, (n,)
        The group of each row.
    by : {"genome", "contig", "block"}
    block : int or None
        Bases of a block.
    """

    parts: list[tuple[np.ndarray, np.ndarray]]
    groups: np.ndarray
    by: str
    block: int | None

    @property
    def test_share(self) -> float:
        """Rows tested for each row trained on, on average: n_test / n_train."""
        return float(np.mean([len(test) / len(train) for train, test in self.parts]))


def make_folds(keys: pl.DataFrame, labels: np.ndarray, probe: dict) -> Folds:
    """Divide labelled rows into folds, the same ones every time.

    Parameters
    ----------
    keys : DataFrame, n rows
        genome, contig, start, end, strand.
    labels : ndarray of object or of float64, (n,)
        Labels, or numbers; none is missing.
    probe : dict
        The section of the settings, complete: `folds`, `group`, `block`, `gap`.

    Raises
    ------
    InputError
        When the rows cannot be divided so; it says what to change.
    """
    _check_labels(labels, probe)
    by = probe["group"] if probe["group"] != "auto" else _choose(keys, probe["folds"])
    block = (probe["block"] or _block(keys, probe["folds"])) if by == "block" else None
    groups = _groups(keys, by, block)
    _check_groups(labels, groups, by, probe)
    splitter = GroupKFold if labels.dtype == float else StratifiedGroupKFold
    splitter = splitter(probe["folds"], shuffle=True, random_state=SEED)
    axis = Axis(keys, margin=probe["gap"])
    starts, ends = axis.place_rows(keys)
    parts = []
    for train, test in splitter.split(groups, _codes(labels), groups):
        spans = starts[test] - probe["gap"], ends[test] + probe["gap"]
        near = covered(*spans, starts[train], ends[train]) > 0
        parts.append((train[~near], test))
    for number, (train, test) in enumerate(parts, 1):
        _check_part(f"fold {number} of {len(parts)}", labels, train, test, probe["gap"])
    return Folds(parts, groups, by, block)


def inner_parts(
    labels: np.ndarray, groups: np.ndarray, parts: int
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Folds within the rows that are trained on, groups together; those that cannot be used (one
    label only) are left out.

    Parameters
    ----------
    labels : ndarray of object or of float64, (n,)
    groups : ndarray of int64, (n,)
    parts : int
    """
    if len(np.unique(groups)) < parts:
        return []
    codes = _codes(labels)
    splitter = GroupKFold(parts, shuffle=True, random_state=SEED)
    return [
        (train, test)
        for train, test in splitter.split(groups, codes, groups)
        if min(len(np.unique(codes[rows])) for rows in (train, test)) > 1
    ]


def _codes(labels: np.ndarray) -> np.ndarray:
    """Numbers for labels; numbers stay."""
    return np.unique(labels, return_inverse=True)[1]


def _choose(keys: pl.DataFrame, folds: int) -> str:
    """Contigs if there are enough and none is too large, else blocks."""
    rows = keys.group_by("genome", "contig").len()["len"]
    enough = len(rows) >= CONTIGS_PER_FOLD * folds and rows.max() * folds <= len(keys)
    return "contig" if enough else "block"


def _block(keys: pl.DataFrame, folds: int) -> int:
    """Bases of a block that make about `BLOCKS_PER_FOLD` a fold; two rows fit into one."""
    spans = keys.group_by("genome", "contig").agg(pl.col("end").max() - pl.col("start").min())
    longest = (keys["end"] - keys["start"]).max()
    return max(-(-int(spans["end"].sum()) // (BLOCKS_PER_FOLD * folds)), 2 * int(longest))


def _groups(keys: pl.DataFrame, by: str, block: int | None) -> np.ndarray:
    columns = ["genome"] if by == "genome" else ["genome", "contig"]
    table = keys.select(*columns, block=pl.col("start") // (block or 1))
    columns += ["block"] if by == "block" else []
    return table.select(pl.struct(columns).rank("dense") - 1).to_series().to_numpy().astype(int)


def _check_labels(labels: np.ndarray, probe: dict) -> None:
    if not len(labels):
        raise InputError(
            f"probe.labels: {probe['labels']}: no row gets a label: intervals cover at least "
            f"min_overlap ({probe['min_overlap']:g}) of none (allowed: a lower probe.min_overlap, "
            "shorter windows, or bins)"
        )
    found = np.unique(labels)
    if len(found) < 2:
        what = "number" if labels.dtype == float else "label"
        raise InputError(
            f"probe.labels: {probe['labels']}: all {len(labels):,} labelled rows have the {what} "
            f"'{found[0]}' (wanted: at least two; shorter windows or bins, another "
            "probe.min_overlap, or other labels)"
        )


def _check_groups(labels: np.ndarray, groups: np.ndarray, by: str, probe: dict) -> None:
    folds, count = probe["folds"], len(np.unique(groups))
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
                f"probe.labels: {probe['labels']}: label '{label}' has {mine.sum():,} rows in "
                f"{len(np.unique(groups[mine]))} {by}s: too few for {folds} folds (wanted: "
                f"{folds} rows in 2; leave that label out, or change probe.folds, group or block)"
            )


def _check_part(
    what: str, labels: np.ndarray, train: np.ndarray, test: np.ndarray, gap: int
) -> None:
    missing = sorted({*np.unique(labels)} - {*labels[train]}) if labels.dtype != float else []
    advice = f"smaller than {gap}, another probe.group or block, or fewer probe.folds"
    if missing:
        raise InputError(
            f"probe.gap: {what} has no row of label '{missing[0]}' to train on, once rows near the "
            f"tested ones are left out (allowed: a gap {advice}; or leave that label out)"
        )
    for rows, doing in ((train, "train on"), (test, "test")):
        if len(np.unique(labels[rows])) < 2:
            raise InputError(
                f"probe.folds: {what} has fewer than two different labels or numbers to {doing} "
                f"(allowed: a probe.gap {advice})"
            )
