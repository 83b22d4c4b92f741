"""The part files of a fusion: its parameters applied to the rows of a bundle, bounded in memory."""

from collections.abc import Iterable, Iterator

import numpy as np
import pyarrow as pa
from threadpoolctl import threadpool_limits

from evo2_embed.analysis.fusion.datasets import open_layers, read_side_by_side, widths_of
from evo2_embed.analysis.fusion.shape import joined_width
from evo2_embed.analysis.fusion.stored import check_fits, load_fusion, values_digest
from evo2_embed.analysis.fusion.vectors import FittedFusion
from evo2_embed.dataset.bundles import BundleRecord, write_record
from evo2_embed.dataset.dataset import Dataset
from evo2_embed.dataset.join import join_datasets, kept_parts, shape_of
from evo2_embed.dataset.part_files import write_parts
from evo2_embed.dataset.part_names import parts_folder
from evo2_embed.dataset.strands import join_strands
from evo2_embed.io.digests import file_sha256, settings_digest
from evo2_embed.io.errors import InputError
from evo2_embed.io.finite import NotFiniteError, as_stored
from evo2_embed.io.logs import log
from evo2_embed.io.row_checks import check_embeddings
from evo2_embed.io.tables import embeddings_schema, metadata_schema, vectors
from evo2_embed.settings.extraction import Fusion


def fuse_bundle(
    layers: list[str], bundles: list[str], settings: dict, parameters: str, record: str, fused: str
) -> None:
    """Write the part files of a bundle for a fusion.

    Those that the fused dataset has already are kept if they were made from the same rows with the
    same parameters.

    Parameters
    ----------
    layers : list of str
        Records of the layers' datasets.
    bundles : list of str
        Records of the bundle with these layers, one per layer or one for all.
    settings : dict
        `method`, `strands`, `code`, and `name`, the name of the fusion.
    parameters : str
        File that `fit_layers` wrote.
    record : str
        JSON file to write last, see `bundles.write_record`.
    fused : str
        Record of the fused dataset; may be missing.

    Raises
    ------
    InputError
        If datasets are damaged or do not belong together, or rows have no partner on the other
        strand.
    """
    records = [BundleRecord.open(path) for path in bundles]
    first, name = records[0], settings["name"]
    datasets = open_layers(layers, first.bundle)
    fusion = Fusion(method=settings["method"], strands=settings["strands"])
    fitted = load_fusion(parameters)
    check_fits(fitted, widths_of(datasets), fusion.method, parameters)
    known = {key: entry for each in records for key, entry in each.record["datasets"].items()}
    values = values_digest(fitted)
    digest = settings_digest([settings, values, [known[each.name]["digest"] for each in datasets]])
    origin = first.origin
    parts = kept_parts(fused, first.bundle, digest)
    width, dtype = _width(fitted, fusion), datasets[0].record["dtype"]
    if parts is None:
        entry = {**settings, "weights": _weights(fitted), "parameters": values}
        metadata = {**origin, "fusion": entry, "layers": list(fitted.layers), "digest": digest}
        columns = embeddings_schema(width, dtype, variants=datasets[0].has_variants)
        schema = metadata_schema(columns, metadata)
        rows = _tables(_fused_rows(datasets, fitted, fusion.strands), schema, name)
        with threadpool_limits(1):
            parts = write_parts(parts_folder(record, name), rows, schema, width)
    else:
        log.info("%s: the rows of %s did not change; kept", name, first.bundle)
    made = {"digest": digest, "width": width, "dtype": dtype, "parts": parts, "levels": {}}
    write_record(record, {**origin, "parameters": values, "digest": digest}, {name: made})


def fuse_layers(
    layers: list[str], bundles: list[str], settings: dict, parameters: str, record: str
) -> dict:
    """Join the bundles of a fusion to its dataset.

    Parameters
    ----------
    layers : list of str
        Records of the layers' datasets.
    bundles : list of str
        Records that `fuse_bundle` wrote, in the order of the sheet.
    settings : dict
        `method`, `strands`, `code`, and `name`, the name of the fusion.
    parameters : str
        File that `fit_layers` wrote.
    record : str
        Record of the dataset, see `join.join_bundles`.

    Raises
    ------
    InputError
        If a bundle was fused with other parameters, or if a part file is missing.
    """
    datasets, fitted = open_layers(layers), load_fusion(parameters)
    records = [BundleRecord.open(path) for path in bundles]
    for each in records:
        if each.record["parameters"] != values_digest(fitted):
            raise InputError(
                f"{each.path}: made with other parameters than {parameters}; delete {each.path} "
                "and rerun to redo it"
            )
    entry = {
        **settings,
        "weights": _weights(fitted),
        "parameters_sha256": file_sha256(parameters),
    }
    name = settings["name"]
    entries = {
        "fusion": entry,
        "layers": list(fitted.layers),
        "digest": settings_digest([entry, [dataset.record["digest"] for dataset in datasets]]),
        **shape_of([each.dataset(name) for each in records]),
    }
    return join_datasets(records, name, record, entries)


def _width(fitted: FittedFusion, fusion: Fusion) -> int:
    return joined_width(fusion.method, fusion.strands, list(fitted.widths))


def _weights(fitted: FittedFusion) -> list[float] | None:
    return None if fitted.weights is None else fitted.weights.tolist()


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
