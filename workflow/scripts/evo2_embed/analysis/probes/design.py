"""The design of a probe: which rows of a dataset, their labels, and the folds."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from evo2_embed.analysis.fusion.weights import is_labelled
from evo2_embed.analysis.probes.folds import Folds, make_folds
from evo2_embed.analysis.probes.rows import label_rows, thin_rows
from evo2_embed.settings.analyses import Probe

KEYS = ["genome", "contig", "start", "end", "strand"]


@dataclass(frozen=True)
class Design:
    """The rows that a probe uses.

    Attributes
    ----------
    rows : ndarray of int64, (n,)
        Row indices in the dataset, ascending.
    keys : DataFrame, n rows
    labels : ndarray of object or of float64, (n,)
    folds : Folds
    counts : dict
        Number of rows: in the dataset (`all`), with a label (`labelled`), without one
        (`left_out`), in the probe (`used`).
    """

    rows: np.ndarray
    keys: pl.DataFrame
    labels: np.ndarray
    folds: Folds
    counts: dict[str, int]

    @property
    def kind(self) -> str:
        """What is predicted: `class` or `number`."""
        return "number" if self.labels.dtype == float else "class"

    def describe(self, gap: int) -> dict:
        """What the record of the probe says about its rows, labels and folds; `gap` in bases."""
        values, counts = np.unique(self.labels, return_counts=True)
        labels = dict(zip(values.tolist(), counts.tolist(), strict=True))
        if self.kind == "number":
            labels = {"least": float(values[0]), "most": float(values[-1])}
        folds = self.folds
        return {
            "kind": self.kind,
            "rows": self.counts,
            "labels": labels,
            "group": folds.by,
            "groups": len(np.unique(folds.groups)),
            "block": folds.block,
            "gap": gap,
            "folds": [{"train": len(train), "test": len(test)} for train, test in folds.splits],
        }


def design_probe(keys: pl.DataFrame, probe: Probe, genomes: list[str]) -> Design:
    """Label the rows of a dataset, choose the rows to use, and assign them to folds.

    Parameters
    ----------
    keys : DataFrame
        Key columns of all rows, in the order of the dataset.
    probe : Probe
        Complete settings.
    genomes : list of str
        Names of all genomes of the sheet.

    Raises
    ------
    InputError
        If the labels or the rows do not allow a probe. The message says what to change.
    """
    labels = label_rows(keys, probe, genomes)
    labelled = np.flatnonzero(is_labelled(labels))
    rows = thin_rows(keys, labelled, probe.max_rows)
    chosen, mine = keys[rows], labels[rows]
    counts = {
        "all": len(keys),
        "labelled": len(labelled),
        "left_out": len(keys) - len(labelled),
        "used": len(rows),
    }
    return Design(rows, chosen, mine, make_folds(chosen, mine, probe), counts)
