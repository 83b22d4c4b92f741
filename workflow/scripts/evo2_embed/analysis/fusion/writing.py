"""The dataset of a fusion: its parameters applied to all rows, with bounded memory."""

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
from threadpoolctl import threadpool_limits

from evo2_embed.analysis.fusion.datasets import open_layers, read_side_by_side, widths_of
from evo2_embed.analysis.fusion.shape import joined_width
from evo2_embed.analysis.fusion.stored import check_fits, load_fusion
from evo2_embed.analysis.fusion.vectors import FittedFusion
from evo2_embed.dataset.dataset import Dataset
from evo2_embed.dataset.part_files import write_dataset
from evo2_embed.dataset.strands import join_strands
from evo2_embed.io.digests import file_sha256, settings_digest
from evo2_embed.io.errors import InputError
from evo2_embed.io.finite import NotFiniteError, as_stored
from evo2_embed.io.tables import check_embeddings, embeddings_schema, metadata_schema, vectors
from evo2_embed.settings.sections import Fusion

# Keys of the record that are the same as in the records of the layers.
_AS_LAYERS = (
    *("settings", "packing", "windows", "checkpoint_sha256", "packages"),
    *("model", "pooling", "precision", "engine", "workflow"),
)


def fuse_layers(
    records: list[str], name: str, fusion: Fusion, code: int, parameters: str, record: str
) -> dict:
    """Write the dataset of a fusion.

    Parameters
    ----------
    records : list of str
        Records of the layers' datasets.
    name : str
        Name of the fusion.
    fusion : Fusion
        `method` and `strands` are used.
    code : int
        Version of the code, for the record.
    parameters : str
        File that `fit_layers` wrote.
    record : str
        JSON file to write last, beside the folder of the dataset: the part files with their rows
        and digests, and what they were made from.

    Raises
    ------
    InputError
        If datasets are damaged or do not belong together, or rows have no partner on the other
        strand.
    """
    datasets, fitted = open_layers(records), load_fusion(parameters)
    check_fits(fitted, widths_of(datasets), fusion.method, parameters)
    width = joined_width(fusion.method, fusion.strands, list(fitted.widths))
    dtype = datasets[0].record["dtype"]
    made_with = {"code": code, "method": fusion.method, "strands": fusion.strands, "name": name}
    metadata = _metadata(datasets, fitted, made_with, file_sha256(parameters))
    columns = embeddings_schema(width, dtype, variants=datasets[0].has_variants)
    schema = metadata_schema(columns, metadata)
    rows = _tables(_fused_rows(datasets, fitted, fusion.strands), schema, name)
    with threadpool_limits(1):
        return write_dataset(record, rows, schema, metadata)


def _metadata(datasets: list[Dataset], fitted: FittedFusion, made_with: dict, sha256: str) -> dict:
    first = datasets[0].record
    weights = None if fitted.weights is None else fitted.weights.tolist()
    entry = {**made_with, "weights": weights, "parameters_sha256": sha256}
    return {
        **{key: first[key] for key in _AS_LAYERS},
        **({"variants": True} if datasets[0].has_variants else {}),
        "fusion": entry,
        "layers": list(fitted.layers),
        "digest": settings_digest([entry, [dataset.record["digest"] for dataset in datasets]]),
    }


def _fused_rows(
    datasets: list[Dataset], fitted: FittedFusion, strands: str
) -> Iterator[tuple[pa.Table, np.ndarray]]:
    """Keys and vectors of the fused dataset, some rows at a time."""
    rows = ((keys, fitted.apply(layers)) for keys, layers in read_side_by_side(datasets))
    return rows if strands == "keep" else join_strands(rows, strands)


def _tables(
    rows: Iterable[tuple[pa.Table, np.ndarray]], schema: pa.Schema, name: str
) -> Iterator[pa.Table]:
    """The same rows as tables of the dataset's schema, checked."""
    number = schema.field("embedding").type.value_type.to_pandas_dtype()
    for keys, fused in rows:
        try:
            values = as_stored(fused, number)
        except NotFiniteError as error:
            raise InputError(f"fusion '{name}': {error} in {len(error.rows)} rows") from None
        table = pa.table([*keys.columns, vectors(values)], schema=schema)
        yield check_embeddings(table, values, name)
