"""The shards of a bundle to its part files: checked, sorted, and written with bounded memory."""

from evo2_embed.dataset.bundles import write_record
from evo2_embed.dataset.checked import CheckedBundle
from evo2_embed.dataset.join import join_bundles, shape_of
from evo2_embed.dataset.levels import LevelMeans
from evo2_embed.dataset.part_files import write_parts
from evo2_embed.dataset.part_names import level_path, parts_folder
from evo2_embed.dataset.shards import BundleFiles
from evo2_embed.io.files import write_json
from evo2_embed.io.logs import log
from evo2_embed.io.tables import embeddings_schema, metadata_schema
from evo2_embed.model.registry import layer_widths


def aggregate_bundle(
    files: BundleFiles,
    layers: list[str],
    settings: dict,
    record: str,
    genomes: list[list] = (),
    shards: str | None = None,
) -> None:
    """Write the part files of a bundle for some layers of an extraction, and their levels.

    Parameters
    ----------
    files : BundleFiles
    layers : list of str
    settings : dict
        `embed`, the settings of the shards, `levels` and `code`; with rows of variants anywhere in
        the run also `variants`.
    record : str
        JSON file to write last, see `bundles.write_record`.
    genomes : list of list
        Rows of the sheet of the bundle, for the record.
    shards : str, optional
        JSON file for the counts and speeds of the shards, by shard.

    Raises
    ------
    InputError
        If a shard is missing, damaged, or has other settings or another version, or if its rows are
        not those of its chunks.
    """
    checked = CheckedBundle.open(files, settings)
    entries = {layer: _write_layer(checked, layer, record) for layer in layers}
    if shards is not None:
        write_json(shards, {"shards": {shard.name: shard.numbers for shard in checked.shards}})
    write_record(record, {**checked.described, "genomes": genomes}, entries)


def _write_layer(checked: CheckedBundle, layer: str, record: str) -> dict:
    extraction, metadata = checked.extraction, checked.metadata(layer)
    width = layer_widths(extraction.model.name)[layer]
    columns = embeddings_schema(width, extraction.dtype, variants=checked.has_variants)
    paths = {level: level_path(record, layer, level) for level in checked.settings["levels"]}
    with LevelMeans(paths, width) as means:
        rows = means.watch(checked.rows(layer))
        schema = metadata_schema(columns, metadata)
        parts = write_parts(parts_folder(record, layer), rows, schema, width)
    log.info("%s: %d rows", layer, sum(part["rows"] for part in parts))
    return {
        "digest": metadata["digest"],
        "self_check": metadata["self_check"],
        "width": width,
        "dtype": extraction.dtype,
        "parts": parts,
        "levels": means.files,
    }


def join_layer(records: list[str], layer: str, settings: dict, record: str) -> dict:
    """Join the bundles of an extraction to the dataset of a layer, see `join_bundles`."""
    return join_bundles(records, layer, settings, record, shape_of)
