"""The two jobs of a fusion: its parameters are fitted to a sample, and applied to all rows."""

from collections.abc import Callable, Iterable, Iterator

import numpy as np
import polars as pl
import pyarrow as pa
from threadpoolctl import threadpool_limits

from evo2_embed.digests import file_sha256, settings_digest
from evo2_embed.errors import InputError
from evo2_embed.files import atomic_directory, write_json
from evo2_embed.fusion.datasets import (
    LayerDataset,
    open_layers,
    read_keys,
    read_rows_at,
    read_side_by_side,
)
from evo2_embed.fusion.parameters import Fusion, fit_fusion
from evo2_embed.fusion.shape import is_standardised, joined_width
from evo2_embed.fusion.stored import check_fits, load_fusion, save_fusion
from evo2_embed.fusion.strands import join_strands
from evo2_embed.fusion.weights import is_labelled
from evo2_embed.logs import log
from evo2_embed.parts import PartWriter
from evo2_embed.sampling import evenly
from evo2_embed.tables import check_embeddings, embeddings_schema, metadata_schema, vectors

SAMPLE_ROWS = 5000
KEY_ROWS = 1 << 20  # that are labelled at a time

# What a fused dataset has in common with its layers, and says as they do.
_AS_LAYERS = (
    *("settings", "packing", "windows", "checkpoint_sha256", "packages"),
    *("model", "pooling", "precision", "engine", "workflow"),
)

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
        check_fits(fusion, _widths(datasets), settings["method"], source)
        log.info("parameters taken from %s", source)
    else:
        with threadpool_limits(1):  # the last bit of a sum may depend on it
            fusion = _fit(datasets, settings, labeller)
    save_fusion(fusion, output)
    return fusion


def _fit(datasets: list[LayerDataset], settings: dict, labeller: Labeller | None) -> Fusion:
    if not is_standardised(settings, len(datasets)):
        none = {layer: np.empty((0, width)) for layer, width in _widths(datasets).items()}
        return fit_fusion(none, settings)
    labels = None
    if settings["weights"] == "probe":
        rows, labels = _labelled(datasets[0], labeller)
    else:
        rows = evenly(datasets[0].record["rows"], SAMPLE_ROWS)
    log.info("fitting to %d of %d rows", len(rows), datasets[0].record["rows"])
    return fit_fusion(read_rows_at(datasets, rows), settings, labels)


def _labelled(dataset: LayerDataset, labeller: Labeller) -> tuple[np.ndarray, np.ndarray]:
    """Numbers and labels of evenly spaced rows among those that have a label."""
    rows, labels, first = [], [], 0
    for keys in read_keys(dataset, KEY_ROWS):
        found = labeller(keys)
        known = np.flatnonzero(is_labelled(found))
        rows.append(first + known)
        labels.append(found[known])
        first += len(keys)
    rows, labels = np.concatenate(rows), np.concatenate(labels)
    if not len(rows):
        raise InputError(
            f"weights: probe: none of {first} rows has a label; mend probe.labels or give weights"
        )
    chosen = evenly(len(rows), SAMPLE_ROWS)
    return rows[chosen], labels[chosen]


def fuse_layers(
    records: list[str], name: str, settings: dict, parameters: str, record: str
) -> dict:
    """Write the dataset of a fusion.

    Parameters
    ----------
    records : list of str
        Of the layers' datasets.
    name : str
    settings : dict
        `code`, `method`, `strands`.
    parameters : str
        File that `fit_layers` wrote.
    record : str
        JSON file to write last, beside the folder of the dataset: parts with rows and digests, and
        what they were made from.

    Raises
    ------
    InputError
        When datasets are damaged or do not belong together, or rows have no partner on the other
        strand.
    """
    datasets, fusion = open_layers(records), load_fusion(parameters)
    check_fits(fusion, _widths(datasets), settings["method"], parameters)
    width = joined_width(settings, list(fusion.widths))
    dtype = datasets[0].record["dtype"]
    metadata = _metadata(datasets, fusion, name, settings, file_sha256(parameters))
    schema = metadata_schema(embeddings_schema(width, dtype), metadata)
    with threadpool_limits(1), atomic_directory(record.removesuffix(".json")) as folder:
        parts = PartWriter(folder, schema, width)
        for table in _tables(_fused_rows(datasets, fusion, settings["strands"]), schema, name):
            parts.add(table)
        parts.close()
    result = {
        **metadata,
        "rows": sum(part["rows"] for part in parts.files),
        "width": width,
        "dtype": dtype,
        "parts": parts.files,
        "levels": {},
    }
    write_json(record, result)
    log.info("%s: %d rows of width %d in %d parts", name, result["rows"], width, len(parts.files))
    return result


def _widths(datasets: list[LayerDataset]) -> dict[str, int]:
    return {dataset.layer: dataset.record["width"] for dataset in datasets}


def _metadata(
    datasets: list[LayerDataset], fusion: Fusion, name: str, settings: dict, sha256: str
) -> dict:
    first = datasets[0].record
    weights = None if fusion.weights is None else fusion.weights.tolist()
    said = {**settings, "name": name, "weights": weights, "parameters_sha256": sha256}
    return {
        **{key: first[key] for key in _AS_LAYERS},
        "fusion": said,
        "layers": list(fusion.layers),
        "digest": settings_digest([said, [dataset.record["digest"] for dataset in datasets]]),
    }


def _fused_rows(
    datasets: list[LayerDataset], fusion: Fusion, strands: str
) -> Iterator[tuple[pa.Table, np.ndarray]]:
    pieces = ((keys, fusion.apply(layers)) for keys, layers in read_side_by_side(datasets))
    return pieces if strands == "keep" else join_strands(pieces, strands)


def _tables(
    pieces: Iterable[tuple[pa.Table, np.ndarray]], schema: pa.Schema, name: str
) -> Iterator[pa.Table]:
    """Rows as the dataset has them, checked."""
    number = schema.field("embedding").type.value_type.to_pandas_dtype()
    for keys, values in pieces:
        values = values.astype(number)
        table = pa.table([*keys.columns, vectors(values)], schema=schema)
        yield check_embeddings(table, values, name)
