"""The dataset of variants: how the rows of each alternate allele differ from the reference's."""

from collections.abc import Iterator

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from evo2_embed.dataset.aggregate import merge_bundles
from evo2_embed.dataset.dataset import to_polars
from evo2_embed.dataset.part_files import PartWriter
from evo2_embed.dataset.shards import BundleFiles
from evo2_embed.dataset.side_by_side import side_by_side
from evo2_embed.embed.row_spans import DOWNSTREAM
from evo2_embed.io.errors import InputError
from evo2_embed.io.files import atomic_directory, write_json
from evo2_embed.io.logs import log
from evo2_embed.io.tables import LABEL, metadata_schema, vectors, vectors_to_numpy
from evo2_embed.io.text import shown
from evo2_embed.model.registry import layer_widths
from evo2_embed.settings.sections import SCORES

_KEYS = ("genome", "contig", "variant", "id", "strand", "allele")
_PAIR = ("genome", "variant", "strand")
_PARTS = ("", f"_{DOWNSTREAM}")  # of the window: all of it, and from the variant on


def alleles_schema(width: int, scores: bool) -> pa.Schema:
    """Columns of the dataset of variants: a row per variant and strand.

    `delta` is the alternate's embedding less the reference's, and `llr` the log-likelihood of the
    alternate's bases less that of the reference's. Columns that end in `_downstream` are over the
    bases from the variant on, in the direction of the strand; the others are those of the rows.
    `cosine` is null if an embedding is zero.

    Parameters
    ----------
    width : int
        Dimensions of a vector.
    scores : bool
        Whether there are likelihoods.
    """
    delta = pa.list_(pa.field("item", pa.float32(), nullable=False), width)
    fields = [
        pa.field("variant", pa.string(), nullable=False),
        pa.field("id", pa.string()),
        pa.field("genome", LABEL, nullable=False),
        pa.field("contig", LABEL, nullable=False),
        pa.field("position", pa.int64(), nullable=False),
        pa.field("ref", pa.string(), nullable=False),
        pa.field("alt", pa.string(), nullable=False),
        pa.field("strand", pa.string(), nullable=False),
    ]
    fields += [pa.field(f"delta{part}", delta, nullable=False) for part in _PARTS]
    for name in ("cosine", "euclidean", *(["llr"] if scores else [])):
        nullable = name == "cosine"
        fields += [pa.field(f"{name}{part}", pa.float64(), nullable=nullable) for part in _PARTS]
    return pa.schema(fields)


def compare_alleles(bundles: list[BundleFiles], layer: str, settings: dict, record: str) -> dict:
    """Write the dataset of variants of a layer, with bounded memory.

    Parameters
    ----------
    bundles : list of BundleFiles
        In the order of the sheet.
    layer : str
    settings : dict
        `embed`, the settings of the shards, and `code`.
    record : str
        JSON file to write last: part files with rows and digests, settings and inputs. The folder
        of the same name is replaced as a whole.

    Raises
    ------
    InputError
        See `aggregate_layer`; also if a row of one allele has no row of the other.
    """
    merged = merge_bundles(bundles, layer, settings)
    extraction = merged.extraction
    outputs = [layer, *([SCORES] if extraction.scores else [])]
    # In the order of `_PARTS`, for each output.
    sources = [merged.rows]
    for name in [f"{output}{part}" for output in outputs for part in ("", f".{DOWNSTREAM}")][1:]:
        sources.append(merge_bundles(bundles, name, settings).rows)
    width = layer_widths(extraction.model.name)[layer]
    columns = alleles_schema(width, extraction.scores)
    schema = metadata_schema(columns, merged.metadata)
    with atomic_directory(record.removesuffix(".json")) as folder:
        writer = PartWriter(folder, schema, 2 * width)
        for reference, alternate in _pairs(_joined(sources), layer):
            writer.add(_differences(reference, alternate, width, columns))
        writer.close()
    result = {
        **merged.metadata,
        "rows": sum(part["rows"] for part in writer.files),
        "width": width,
        "parts": writer.files,
        "levels": {},
    }
    write_json(record, result)
    log.info("%s: %d variants on a strand", layer, result["rows"])
    return result


def _joined(sources: list[Iterator[pa.Table]]) -> Iterator[pa.Table]:
    """Rows of variants with the values of all sources."""
    columns = [f"{name}{part}" for name in ("embedding", "sum") for part in _PARTS][1:]
    for first, *others in side_by_side(sources):
        table = first.select([*_KEYS, "embedding"])
        for column, other in zip(columns, others, strict=False):
            table = table.append_column(column, other[column.removesuffix(_PARTS[1])])
        yield table.filter(pc.is_valid(table["variant"]))


def _pairs(tables: Iterator[pa.Table], layer: str) -> Iterator[tuple[pa.Table, pa.Table]]:
    """The rows of references, and those of their alternates.

    The two rows of a pair begin near each other, so memory holds one table, and the rows before it
    whose partner is still to come.
    """
    held = None
    for table in tables:
        rows = table if held is None else pa.concat_tables([held, table]).unify_dictionaries()
        reference, alternate = _partners(rows)
        yield rows.take(reference), rows.take(alternate)
        alone = np.ones(len(rows), bool)
        alone[reference] = alone[alternate] = False
        held = rows.filter(pa.array(alone))
    if held is not None and len(held):
        raise InputError(
            f"layer '{layer}': {len(held)} rows of variants have no row of the other allele; the "
            f"first is {shown(held['variant'][0].as_py())}, strand {held['strand'][0].as_py()}: "
            "delete results/shards and rerun to redo it"
        )


def _partners(rows: pa.Table) -> tuple[np.ndarray, np.ndarray]:
    """Indices of references and of their alternates, in the order in which both are there."""
    keys = to_polars(rows.select(["contig", *_PAIR, "allele"])).with_row_index("row")
    by_allele = (keys.filter(pl.col("allele") == allele) for allele in ("ref", "alt"))
    pairs = next(by_allele).join(next(by_allele), on=_PAIR, suffix="_alt")
    pairs = pairs.sort(pl.max_horizontal("row", "row_alt"))
    return pairs["row"].to_numpy().astype(np.int64), pairs["row_alt"].to_numpy().astype(np.int64)


def _differences(
    reference: pa.Table, alternate: pa.Table, width: int, schema: pa.Schema
) -> pa.Table:
    """The rows of the dataset from pairs of rows."""
    contig = pc.binary_length(reference["contig"].cast(pa.string())).to_numpy()
    names = [
        text.encode()[length + 1 :].decode().split(":")
        for text, length in zip(reference["variant"].to_pylist(), contig.tolist(), strict=True)
    ]
    columns = {name: reference[name] for name in _KEYS}
    columns["position"] = pa.array([int(name[0]) for name in names], pa.int64())
    columns["ref"] = pa.array([name[1] for name in names], pa.string())
    columns["alt"] = pa.array([name[2] for name in names], pa.string())
    for part in _PARTS:
        one, other = (
            vectors_to_numpy(table[f"embedding{part}"], width).astype(np.float64)
            for table in (reference, alternate)
        )
        columns[f"delta{part}"] = vectors((other - one).astype(np.float32))
        lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
        zero = lengths == 0
        cosine = (one * other).sum(axis=1) / np.where(zero, 1, lengths)
        columns[f"cosine{part}"] = pa.array(cosine, mask=zero)
        columns[f"euclidean{part}"] = pa.array(np.linalg.norm(other - one, axis=1))
        if f"llr{part}" in schema.names:
            sums = (table[f"sum{part}"].to_numpy() for table in (alternate, reference))
            columns[f"llr{part}"] = pa.array(np.subtract(*sums))
    return pa.table({name: columns[name] for name in schema.names}, schema=schema)
