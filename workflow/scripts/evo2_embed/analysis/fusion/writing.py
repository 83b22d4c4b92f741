"""The dataset of a fusion: its parameters applied to all rows, with bounded memory."""

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
from threadpoolctl import threadpool_limits

from evo2_embed.analysis.fusion.datasets import (
    open_layers,
    read_side_by_side,
    widths_of,
)
from evo2_embed.analysis.fusion.shape import joined_width
from evo2_embed.analysis.fusion.stored import check_fits, load_fusion
from evo2_embed.analysis.fusion.strands import join_strands
from evo2_embed.analysis.fusion.vectors import Fusion
from evo2_embed.dataset.dataset import Dataset
from evo2_embed.dataset.part_files import PartWriter
from evo2_embed.io.digests import file_sha256, settings_digest
from evo2_embed.io.files import atomic_directory, write_json
from evo2_embed.io.logs import log
from evo2_embed.io.tables import check_embeddings, embeddings_schema, metadata_schema, vectors

# What a fused dataset has in common with its layers, and says as they do.
_AS_LAYERS = (
    *("settings", "packing", "windows", "checkpoint_sha256", "packages"),
    *("model", "pooling", "precision", "engine", "workflow"),
)


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
    check_fits(fusion, widths_of(datasets), settings["method"], parameters)
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


def _metadata(
    datasets: list[Dataset], fusion: Fusion, name: str, settings: dict, sha256: str
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
    datasets: list[Dataset], fusion: Fusion, strands: str
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
