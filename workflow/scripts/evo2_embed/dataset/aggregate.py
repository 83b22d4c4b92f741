"""Shards to the dataset of one layer: checked, sorted, and written with bounded memory."""

from evo2_embed import __version__
from evo2_embed.dataset.levels import LevelMeans
from evo2_embed.dataset.merge import merge_shards
from evo2_embed.dataset.part_files import PartWriter
from evo2_embed.dataset.shards import BundleFiles, Shard, check_ranges, check_shared, worst_check
from evo2_embed.io.digests import settings_digest
from evo2_embed.io.files import atomic_directory, write_json
from evo2_embed.io.logs import log
from evo2_embed.io.tables import (
    CHUNKS,
    embeddings_schema,
    metadata_schema,
    open_table,
    table_metadata,
)
from evo2_embed.model.models import layer_widths


def aggregate_layer(
    bundles: list[BundleFiles], layer: str, settings: dict, output: str, record: str
) -> dict:
    """Write the dataset of one layer of an extraction.

    Parameters
    ----------
    bundles : list of BundleFiles
        In the order of the sheet.
    layer : str
    settings : dict
        `embed`, the settings of the shards, `levels` and `code`.
    output : str
        Folder of the dataset; it is replaced as a whole.
    record : str
        JSON file to write last: part files with rows and digests, settings and inputs.

    Raises
    ------
    InputError
        If a shard is missing, damaged, or has other settings or another version, or if its rows are
        not those of its chunks.
    """
    by_bundle = [[Shard.open(bundle, path) for path in bundle.records] for bundle in bundles]
    shards = [shard for mine in by_bundle for shard in mine]
    shared = check_shared(shards, settings["embed"])
    extraction = settings["embed"]["extraction"]
    width = layer_widths(extraction["model"]["name"])[layer]
    metadata = {
        **shared,
        **_spelled_out(extraction),
        "workflow": __version__,
        "layer": layer,
        "self_check": worst_check(shards, layer),
        "windows": table_metadata(open_table(bundles[0].chunks, CHUNKS))["settings"],
        "digest": settings_digest([settings, layer, [shard.record["digest"] for shard in shards]]),
    }
    schema = metadata_schema(embeddings_schema(width, extraction["dtype"]), metadata)
    with (
        atomic_directory(output) as folder,
        LevelMeans(settings["levels"], output, width) as levels,
    ):
        parts = PartWriter(folder, schema, width)
        for mine in by_bundle:
            check_ranges(mine)
            filled = [shard for shard in mine if shard.record["n_chunks"]]
            for table in merge_shards(filled, layer, extraction):
                parts.add(table)
                levels.add(table)
        parts.close()
        files = parts.files
    result = {
        **metadata,
        "rows": sum(part["rows"] for part in files),
        "width": width,
        "dtype": extraction["dtype"],
        "parts": files,
        "levels": levels.files,
    }
    write_json(record, result)
    log.info("%s: %d rows of width %d in %d parts", layer, result["rows"], width, len(files))
    return result


def _spelled_out(extraction: dict) -> dict:
    return {
        "model": extraction["model"]["name"],
        "pooling": extraction["pooling"],
        "precision": extraction["precision"],
        "engine": extraction["engine"],
    }
