"""The dataset of variants: how the rows of each alternate allele differ from the reference's."""

from collections.abc import Iterator, Sequence

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from evo2_embed.dataset.bundles import write_record
from evo2_embed.dataset.checked import CheckedBundle
from evo2_embed.dataset.dataset import to_polars
from evo2_embed.dataset.join import join_bundles
from evo2_embed.dataset.kinds import PARTS, alleles_schema
from evo2_embed.dataset.part_files import write_parts
from evo2_embed.dataset.part_names import parts_folder
from evo2_embed.dataset.shards import BundleFiles
from evo2_embed.dataset.side_by_side import side_by_side
from evo2_embed.io.errors import InputError
from evo2_embed.io.logs import log
from evo2_embed.io.tables import metadata_schema, vectors, vectors_to_numpy
from evo2_embed.io.text import shown
from evo2_embed.model.registry import layer_widths
from evo2_embed.settings.extraction import SCORES

_KEYS = ("genome", "contig", "variant", "id", "strand", "allele")
_ALLELES = ("ref", "alt")

# The rows of a variant: per allele, a table per strand, or of one strand.
Alleles = list[list[pa.Table]]


def compare_bundle(
    files: BundleFiles,
    layers: list[str],
    settings: dict,
    record: str,
    genomes: list[list] = (),
) -> None:
    """Write the part files of a bundle for the datasets of variants of some layers, or of scores
    alone, with bounded memory.

    Parameters
    ----------
    files : BundleFiles
    layers : list of str
    settings : dict
        `embed`, the settings of the shards, `variants`, `strands` and `code`.
    record : str
        JSON file to write last, see `bundles.write_record`.
    genomes : list of list
        Rows of the sheet of the bundle, for the record.

    Raises
    ------
    InputError
        See `aggregate_bundle`; also if a row of one allele, or with `strands: mean` of one strand,
        has no row of the other.
    """
    checked = CheckedBundle.open(files, settings)
    entries = {layer: _compare_layer(checked, layer, record) for layer in layers}
    write_record(record, {**checked.described, "genomes": genomes}, entries)


def _compare_layer(checked: CheckedBundle, layer: str, record: str) -> dict:
    extraction, metadata = checked.extraction, checked.metadata(layer)
    outputs = {} if layer == SCORES else {"embedding": layer}
    outputs |= {"sum": SCORES} if extraction.scores else {}
    sources = {
        f"{column}{part}": checked.rows(f"{output}{part.replace('_', '.')}")
        for column, output in outputs.items()
        for part in PARTS
    }
    width = None if layer == SCORES else layer_widths(extraction.model.name)[layer]
    columns = alleles_schema(width, extraction.scores)
    pairs = _pairs(_joined(sources), layer, checked.settings["strands"])
    rows = (_differences(alleles, columns) for alleles in pairs)
    numbers = 1 if width is None else 2 * width
    schema = metadata_schema(columns, metadata)
    parts = write_parts(parts_folder(record, layer), rows, schema, numbers)
    log.info("%s: %d rows of variants", layer, sum(part["rows"] for part in parts))
    return {
        "digest": metadata["digest"],
        "self_check": metadata["self_check"],
        **({} if width is None else {"width": width}),
        "parts": parts,
        "levels": {},
    }


def join_alleles(records: list[str], layer: str, settings: dict, record: str) -> dict:
    """Join the bundles of an extraction to the dataset of variants of a layer, see
    `join_bundles`."""

    def entries(known: list[dict]) -> dict:
        width = {"width": known[0]["width"]} if "width" in known[0] else {}
        return {"strands": settings["strands"], **width}

    return join_bundles(records, layer, settings, record, entries)


def _joined(sources: dict[str, Iterator[pa.Table]]) -> Iterator[pa.Table]:
    """Rows of variants with the columns of all sources."""
    for tables in side_by_side(list(sources.values())):
        joined = tables[0].select(_KEYS)
        for column, table in zip(sources, tables, strict=True):
            joined = joined.append_column(column, table[column.removesuffix(PARTS[1])])
        yield joined.filter(pc.is_valid(joined["variant"]))


def _pairs(tables: Iterator[pa.Table], layer: str, strands: str) -> Iterator[Alleles]:
    """The rows of references, and those of their alternates; with `strands: mean` those of both
    strands.

    The rows of a variant begin near each other, so memory holds one table, and the rows before it
    whose partners are still to come.
    """
    held = None
    for table in tables:
        rows = table if held is None else pa.concat_tables([held, table]).unify_dictionaries()
        partners = _partners(rows, strands)
        yield [[rows.take(index) for index in mine] for mine in partners]
        alone = np.ones(len(rows), bool)
        alone[np.concatenate([index for mine in partners for index in mine])] = False
        held = rows.filter(pa.array(alone))
    if held is not None and len(held):
        raise InputError(
            f"layer '{layer}': {len(held)} rows of variants have no row of the other allele"
            f"{' or strand' if strands == 'mean' else ''}; the first is "
            f"{shown(held['variant'][0].as_py())}, strand {held['strand'][0].as_py()}: "
            "delete results/shards and rerun to redo it"
        )


def _partners(rows: pa.Table, strands: str) -> list[list[np.ndarray]]:
    """Indices of the rows of each allele and strand, in the order in which all of a variant are
    there."""
    keys = to_polars(rows.select(["genome", "contig", "variant", "strand", "allele"]))
    keys = keys.with_row_index("row").with_columns(pl.col("row").cast(pl.Int64))
    by, sides = ["genome", "variant", "strand"], [pl.lit(True)]
    if strands == "mean":
        by, sides = by[:2], [pl.col("strand") == strand for strand in "+-"]
    which = [(pl.col("allele") == allele) & side for allele in _ALLELES for side in sides]
    found = keys.group_by(by).agg(
        pl.col("row").filter(mine).first().alias(f"{number}") for number, mine in enumerate(which)
    )
    found = found.drop(by).drop_nulls()
    found = found.sort(pl.max_horizontal(found.columns))
    columns = [found[name].to_numpy() for name in found.columns]
    return [columns[: len(sides)], columns[len(sides) :]]


def _differences(alleles: Alleles, schema: pa.Schema) -> pa.Table:
    """The rows of the dataset from rows of both alleles."""
    reference = alleles[0][0]
    contig = pc.binary_length(reference["contig"].cast(pa.string())).to_numpy()
    names = [
        text.encode()[length + 1 :].decode().split(":")
        for text, length in zip(reference["variant"].to_pylist(), contig.tolist(), strict=True)
    ]
    columns = {name: reference[name] for name in _KEYS}
    columns["position"] = pa.array([int(name[0]) for name in names], pa.int64())
    columns["ref"] = pa.array([name[1] for name in names], pa.string())
    columns["alt"] = pa.array([name[2] for name in names], pa.string())
    for part in PARTS:
        if f"llr{part}" in schema.names:
            sums = [_mean([table[f"sum{part}"].to_numpy() for table in mine]) for mine in alleles]
            columns[f"llr{part}"] = pa.array(sums[1] - sums[0])
        if f"delta{part}" in schema.names:
            width = schema.field(f"delta{part}").type.list_size
            distances = _distances(
                *(
                    _mean([vectors_to_numpy(table[f"embedding{part}"], width) for table in mine])
                    for mine in alleles
                )
            )
            columns |= {f"{name}{part}": values for name, values in distances.items()}
    return pa.table({name: columns[name] for name in schema.names}, schema=schema)


def _mean(strands: Sequence[np.ndarray]) -> np.ndarray:
    """The mean of the values of all strands, in float64."""
    return sum(values.astype(np.float64) for values in strands) / len(strands)


def _distances(one: np.ndarray, other: np.ndarray) -> dict[str, pa.Array]:
    """How vectors differ from others: `delta`, `cosine` and `euclidean`, from (n, width) arrays."""
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    zero = lengths == 0
    cosine = (one * other).sum(axis=1) / np.where(zero, 1, lengths)
    return {
        "delta": vectors((other - one).astype(np.float32)),
        "cosine": pa.array(cosine, mask=zero),
        "euclidean": pa.array(np.linalg.norm(other - one, axis=1)),
    }
