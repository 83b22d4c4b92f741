"""What a probe works on: which rows of a dataset, their labels, and the folds."""

from dataclasses import dataclass

import numpy as np
import polars as pl

from evo2_embed.analysis.probes.folds import Folds, make_folds
from evo2_embed.analysis.probes.rows import label_rows, thin_rows
from evo2_embed.io.digests import file_sha256

KEYS = ["genome", "contig", "start", "end", "strand"]


@dataclass(frozen=True)
class Plan:
    """Rows to probe.

    Attributes
    ----------
    rows : ndarray of int64, (n,)
        Their numbers in the dataset, ascending.
    keys : DataFrame, n rows
    labels : ndarray of object or of float64, (n,)
    folds : Folds
    counts : dict
        Rows of the dataset (`all`), with a label (`labelled`), without one (`left_out`), and what
        is probed (`used`).
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
        """All that a reader needs to know of it."""
        values, counts = np.unique(self.labels, return_counts=True)
        labels = dict(zip(values.tolist(), counts.tolist(), strict=True))
        if self.kind == "number":
            labels = {"least": float(values[0]), "most": float(values[-1])}
        return {
            "kind": self.kind,
            "rows": self.counts,
            "labels": labels,
            "group": self.folds.by,
            "groups": len(np.unique(self.folds.groups)),
            "block": self.folds.block,
            "gap": gap,
            "folds": [{"train": len(train), "test": len(test)} for train, test in self.folds.parts],
        }


def plan_probe(keys: pl.DataFrame, probe: dict, genomes: list[str]) -> Plan:
    """Label the rows of a dataset, choose those that are used, and divide them into folds.

    Parameters
    ----------
    keys : DataFrame
        Key columns of all rows, in the order of the dataset.
    probe : dict
        The section of the settings, complete.
    genomes : list of str
        The genomes of the sheet.

    Raises
    ------
    InputError
        When the labels or the rows do not allow it; it says what to change.
    """
    labels = label_rows(keys, probe, genomes)
    has = ~np.isnan(labels) if labels.dtype == float else np.not_equal(labels, None)
    labelled = np.flatnonzero(has)
    rows = thin_rows(keys, labelled, probe["max_rows"])
    chosen, mine = keys[rows], labels[rows]
    counts = {
        "all": len(keys),
        "labelled": len(labelled),
        "left_out": len(keys) - len(labelled),
        "used": len(rows),
    }
    return Plan(rows, chosen, mine, make_folds(chosen, mine, probe), counts)


def made_with(settings: dict) -> dict:
    """Settings and labels, for what was made with them: digests in the place of paths."""
    probe = {key: value for key, value in settings["probe"].items() if key != "labels"}
    result = {**settings, "probe": probe}
    if "fusion" in settings:
        result["fusion"] = {
            name: {**fusion, "parameters": _digest(fusion["parameters"])}
            for name, fusion in settings["fusion"].items()
        }
    return {"settings": result, "labels_sha256": file_sha256(settings["probe"]["labels"])}


def _digest(path: str | None) -> str | None:
    return None if path is None else file_sha256(path)
