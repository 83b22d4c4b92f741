"""Shards to the dataset of one layer: checked, sorted, and written with bounded memory."""

from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow as pa

from evo2_embed import __version__
from evo2_embed.dataset.merge import merge_shards
from evo2_embed.dataset.part_files import write_dataset
from evo2_embed.dataset.shards import BundleFiles, Shard, check_ranges, check_shared, worst_check
from evo2_embed.embed.row_spans import tokens_of
from evo2_embed.io.digests import settings_digest
from evo2_embed.io.tables import (
    CHUNKS,
    embeddings_schema,
    metadata_schema,
    open_table,
    table_metadata,
)
from evo2_embed.model.registry import layer_widths
from evo2_embed.settings.sections import Extraction


def aggregate_layer(bundles: list[BundleFiles], layer: str, settings: dict, record: str) -> dict:
    """Write the dataset of one layer of an extraction.

    Parameters
    ----------
    bundles : list of BundleFiles
        In the order of the sheet.
    layer : str
    settings : dict
        `embed`, the settings of the shards, `levels` and `code`.
    record : str
        JSON file to write last: part files with rows and digests, settings and inputs. The folder
        of the same name is replaced as a whole.

    Raises
    ------
    InputError
        If a shard is missing, damaged, or has other settings or another version, or if its rows are
        not those of its chunks.
    """
    merged = merge_bundles(bundles, layer, settings)
    extraction = merged.extraction
    width = layer_widths(extraction.model.name)[layer]
    columns = embeddings_schema(width, extraction.dtype, variants=merged.has_variants)
    schema = metadata_schema(columns, merged.metadata)
    return write_dataset(record, merged.rows, schema, merged.metadata, settings["levels"])


@dataclass(frozen=True)
class Merged:
    """The shards of an extraction, checked.

    Attributes
    ----------
    extraction : Extraction
    metadata : dict
        What they were made from.
    rows : iterator of Table
        Their rows in the final order.
    """

    extraction: Extraction
    metadata: dict
    rows: Iterator[pa.Table]

    @property
    def has_variants(self) -> bool:
        """Whether some rows are of variants."""
        return self.metadata.get("variants", False)


def merge_bundles(bundles: list[BundleFiles], layer: str, settings: dict) -> Merged:
    """The shards of an extraction, for the dataset of a layer, or of `scores`; see `Shard.tables`.

    Parameters
    ----------
    bundles : list of BundleFiles
        In the order of the sheet.
    layer : str
    settings : dict
        `embed`, the settings of the shards; all of them are in the digest.

    Raises
    ------
    InputError
        See `aggregate_layer`; some faults of rows when they are read.
    """
    by_bundle = [[Shard.open(bundle, path) for path in bundle.records] for bundle in bundles]
    shards = [shard for mine in by_bundle for shard in mine]
    variants = any(shard.has_variants for shard in shards)
    shared = check_shared(shards, settings["embed"])
    extraction = Extraction.from_dict(settings["embed"]["extraction"])
    metadata = {
        **shared,
        **_extraction_entries(extraction),
        "workflow": __version__,
        "layer": layer,
        "self_check": worst_check(shards, tokens_of(layer)[0]),
        "windows": table_metadata(open_table(bundles[0].chunks, CHUNKS))["settings"],
        "digest": settings_digest([settings, layer, [shard.record["digest"] for shard in shards]]),
        **({"variants": True} if variants else {}),
    }
    return Merged(extraction, metadata, _rows(by_bundle, layer, extraction, variants))


def _rows(
    by_bundle: list[list[Shard]], layer: str, extraction: Extraction, variants: bool
) -> Iterator[pa.Table]:
    for shards in by_bundle:
        check_ranges(shards)
        filled = [shard for shard in shards if shard.record["n_chunks"]]
        yield from merge_shards(filled, layer, extraction, variants)


def _extraction_entries(extraction: Extraction) -> dict:
    return {
        "model": extraction.model.name,
        "pooling": extraction.pooling,
        "precision": extraction.precision,
        "engine": extraction.engine,
    }
