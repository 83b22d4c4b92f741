"""The parameters of a fusion, fitted to a sample of its layers' datasets."""

from collections.abc import Callable

import numpy as np
import polars as pl
from threadpoolctl import threadpool_limits

from evo2_embed.analysis.fusion.datasets import (
    open_layers,
    read_rows_at,
    widths_of,
)
from evo2_embed.analysis.fusion.parameters import fit_fusion
from evo2_embed.analysis.fusion.shape import is_standardised
from evo2_embed.analysis.fusion.stored import check_fits, load_fusion, save_fusion
from evo2_embed.analysis.fusion.vectors import Fusion
from evo2_embed.analysis.fusion.weights import is_labelled
from evo2_embed.dataset.dataset import Dataset
from evo2_embed.dataset.sampling import evenly
from evo2_embed.io.errors import InputError
from evo2_embed.io.logs import log

SAMPLE_ROWS = 5000

# Labels of rows: of a table of keys, an ndarray (n,).
Labeller = Callable[[pl.DataFrame], np.ndarray]


def fit_layers(
    records: list[str], settings: dict, output: str, source: str | None, labeller: Labeller | None
) -> Fusion:
    """Fit the parameters of a fusion to a sample of its layers' rows, or take those of a file.

    Parameters
    ----------
    records : list of str
        Of the layers' datasets.
    settings : dict
        `method` and `weights`, as the configuration has them.
    output : str
        File for the parameters.
    source : str or None
        File with the parameters of another run, to be taken.
    labeller : callable or None
        For `weights: probe`.

    Raises
    ------
    InputError
        When datasets are damaged or do not belong together, the file does not fit, or the rows or
        labels do not suffice.
    """
    datasets = open_layers(records)
    if source is not None:
        fusion = load_fusion(source)
        check_fits(fusion, widths_of(datasets), settings["method"], source)
        log.info("parameters taken from %s", source)
    else:
        with threadpool_limits(1):  # the last bit of a sum may depend on it
            fusion = _fit(datasets, settings, labeller)
    save_fusion(fusion, output)
    return fusion


def _fit(datasets: list[Dataset], settings: dict, labeller: Labeller | None) -> Fusion:
    if not is_standardised(settings, len(datasets)):
        none = {layer: np.empty((0, width)) for layer, width in widths_of(datasets).items()}
        return fit_fusion(none, settings)
    labels = None
    if settings["weights"] == "probe":
        rows, labels = _labelled(datasets[0], labeller)
    else:
        rows = evenly(datasets[0].rows, SAMPLE_ROWS)
    log.info("fitting to %d of %d rows", len(rows), datasets[0].rows)
    return fit_fusion(read_rows_at(datasets, rows), settings, labels)


def _labelled(dataset: Dataset, labeller: Labeller) -> tuple[np.ndarray, np.ndarray]:
    """Numbers and labels of evenly spaced rows among those that have a label."""
    labels = labeller(dataset.keys())
    rows = np.flatnonzero(is_labelled(labels))
    if not len(rows):
        raise InputError(
            f"weights: probe: none of {len(labels)} rows has a label; mend probe.labels or give "
            "weights"
        )
    rows = rows[evenly(len(rows), SAMPLE_ROWS)]
    return rows, labels[rows]
