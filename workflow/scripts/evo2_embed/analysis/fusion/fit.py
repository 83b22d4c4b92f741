"""The parameters of a fusion, fitted to a sample of its layers' datasets."""

from collections.abc import Callable

import numpy as np
import polars as pl
from threadpoolctl import threadpool_limits

from evo2_embed.analysis.fusion.datasets import open_layers, read_rows_at, widths_of
from evo2_embed.analysis.fusion.parameters import fit_fusion
from evo2_embed.analysis.fusion.shape import is_standardised
from evo2_embed.analysis.fusion.stored import (
    check_fits,
    fusion_digest,
    load_fusion,
    save_fusion,
)
from evo2_embed.analysis.fusion.vectors import FittedFusion
from evo2_embed.analysis.fusion.weights import is_labelled
from evo2_embed.dataset.dataset import Dataset
from evo2_embed.dataset.sampling import evenly
from evo2_embed.io.errors import InputError
from evo2_embed.io.logs import log
from evo2_embed.settings.extraction import Fusion

SAMPLE_ROWS = 5000

# From the keys of n rows to their labels, (n,); see `probes.rows.label_rows`.
Labeller = Callable[[pl.DataFrame], np.ndarray]


def fit_layers(
    records: list[str],
    settings: dict,
    output: str,
    source: str | None,
    labeller: Labeller | None = None,
) -> FittedFusion:
    """Fit the parameters of a fusion to a sample of rows, or take those of another run.

    Parameters
    ----------
    records : list of str
        Records of the layers' datasets.
    settings : dict
        `method` and `weights` of the fusion, and what else the parameters depend on; the file gets
        their digest.
    output : str
        File to write the parameters to.
    source : str or None
        File with the parameters of another run, to apply instead of fitting.
    labeller : callable, optional
        For `weights: probe`.

    Raises
    ------
    InputError
        If datasets are damaged or do not belong together, the file does not fit, or there are too
        few rows or labels.
    """
    datasets, fusion = open_layers(records), _fusion_of(settings)
    if source is not None:
        fitted = load_fusion(source)
        check_fits(fitted, widths_of(datasets), fusion.method, source)
        log.info("parameters taken from %s", source)
    else:
        with threadpool_limits(1):  # the last bit of a sum may depend on the number of threads
            fitted = _fit(datasets, fusion, labeller)
    digests = [dataset.record["digest"] for dataset in datasets]
    save_fusion(fitted, output, fusion_digest(settings, digests, source))
    return fitted


def _fusion_of(settings: dict) -> Fusion:
    return Fusion.from_dict({key: settings[key] for key in ("method", "layers", "weights")})


def _fit(datasets: list[Dataset], fusion: Fusion, labeller: Labeller | None) -> FittedFusion:
    if not is_standardised(fusion.method, len(datasets)):
        none = {layer: np.empty((0, width)) for layer, width in widths_of(datasets).items()}
        return fit_fusion(none, fusion)
    labels = None
    if fusion.weights == "probe":
        rows, labels = _labelled(datasets[0], labeller)
    else:
        rows = evenly(datasets[0].rows, SAMPLE_ROWS)
    log.info("fitting to %d of %d rows", len(rows), datasets[0].rows)
    return fit_fusion(read_rows_at(datasets, rows), fusion, labels)


def _labelled(dataset: Dataset, labeller: Labeller) -> tuple[np.ndarray, np.ndarray]:
    """Indices and labels of evenly spaced rows among those that have a label."""
    labels = labeller(dataset.keys())
    rows = np.flatnonzero(is_labelled(labels))
    if not len(rows):
        raise InputError(
            f"weights: probe: none of {len(labels)} rows has a label; correct probe.labels or give "
            "the weights"
        )
    rows = rows[evenly(len(rows), SAMPLE_ROWS)]
    return rows, labels[rows]
