"""The bundles of an extraction joined to one dataset: their part files, in the order of the sheet.

Part files are moved, never copied or read. A bundle that did not change keeps its files; they get
other names if its place in the sheet changed.
"""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from evo2_embed import __version__
from evo2_embed.dataset.bundles import BundleRecord
from evo2_embed.dataset.dataset import Dataset
from evo2_embed.dataset.levels import level_entries, level_schema, level_writer
from evo2_embed.dataset.part_names import part_name, part_of
from evo2_embed.dataset.shards import SHARED, check_alike, worst_check
from evo2_embed.io.digests import settings_digest
from evo2_embed.io.errors import InputError
from evo2_embed.io.files import check_write, move_file, write_json
from evo2_embed.io.logs import log
from evo2_embed.io.tables import open_table, table_metadata

_ORIGIN = (*SHARED, "model", "pooling", "precision", "engine", "windows")


def join_bundles(
    records: list[str],
    name: str,
    settings: dict,
    output: str,
    describe: Callable[[list[dict]], dict],
) -> dict:
    """Join the bundles of an extraction to a dataset that is made of its shards, with its levels.

    Parameters
    ----------
    records : list of str
        Records of the bundles, in the order of the sheet.
    name : str
        Name of the dataset: a layer, or `scores`.
    settings : dict
        Of the rule; they are in the digest.
    output : str
        Record of the dataset, `{name}.json`, to write last. The part files are moved to the folder
        `{name}` beside it. Part files of other bundles, and of versions without bundles, are
        deleted there.
    describe : callable
        From the entries of the dataset in the records, further entries of its own record.

    Raises
    ------
    InputError
        If a bundle was made otherwise than the others, or if a part file is missing.
    """
    bundles = [BundleRecord.open(path) for path in records]
    shards = [digest for bundle in bundles for digest in bundle.record["shards"]]
    return join_datasets(
        bundles,
        name,
        output,
        {
            "layer": name,
            "self_check": worst_check([bundle.dataset(name)["self_check"] for bundle in bundles]),
            "digest": settings_digest([settings, name, shards]),
            **describe([bundle.dataset(name) for bundle in bundles]),
        },
    )


def join_datasets(bundles: list[BundleRecord], name: str, output: str, entries: dict) -> dict:
    """Join bundles to a dataset, see `join_bundles`; `entries` go into its record."""
    first, known = bundles[0], [bundle.dataset(name) for bundle in bundles]
    for bundle in bundles:
        check_alike(bundle, first, "files")
    parts = _place_parts(Path(output.removesuffix(".json")), bundles, name)
    levels = _join_levels(bundles, name, output)
    result = {
        **{key: first.record[key] for key in _ORIGIN},
        "workflow": __version__,
        **({"variants": True} if first.record.get("variants") else {}),
        **entries,
        "rows": sum(part["rows"] for part in parts),
        "parts": parts,
        "levels": levels,
    }
    write_json(output, result)
    log.info("%s: %d rows of %d bundles", name, result["rows"], len(known))
    return result


def kept_parts(record: str, bundle: str, digest: str) -> list[dict] | None:
    """Entries of the part files of a bundle that a dataset has already; None if it has none, or if
    they have another digest.

    Parameters
    ----------
    record : str
        Record of the dataset; may be missing.
    bundle, digest : str
    """
    try:
        dataset = Dataset.open(record).of_bundle(bundle)
    except InputError:
        return None
    parts = dataset.record["parts"]
    fit = all(_is_kept(dataset.folder / part["file"], part, digest) for part in parts)
    return parts if parts and fit else None


def shape_of(known: list[dict]) -> dict:
    """Width and type of the vectors of bundles."""
    return {key: known[0][key] for key in ("width", "dtype")}


def _place_parts(folder: Path, bundles: list[BundleRecord], name: str) -> list[dict]:
    """Move the part files of the bundles to the folder of the dataset; their entries."""
    folder.mkdir(parents=True, exist_ok=True)
    there = {part_of(path.name) or path.name: path for path in folder.iterdir()}
    moves, entries = [], []
    for number, bundle in enumerate(bundles):
        for index, part in enumerate(bundle.dataset(name)["parts"]):
            source = bundle.new_parts(name) / part["file"]
            if not source.exists():  # of an earlier join
                source = there.get((bundle.bundle, index))
                _check_kept(source, part, bundle, name)
            file = part_name(number, bundle.bundle, index)
            moves.append((source, folder / file))
            entries.append({**part, "file": file})
    check_write()
    kept = {source for source, _ in moves}
    for path in there.values():
        if path.name.startswith("part-") and path not in kept:
            path.unlink()
    for source, target in moves:
        if source != target:
            move_file(source, target)
    for bundle in bundles:
        _remove_empty(bundle.new_parts(name))
    return entries


def _check_kept(path: Path | None, part: dict, bundle: BundleRecord, name: str) -> None:
    """Check that a file which is in the dataset already is the one of the record."""
    if path is None or not _is_kept(path, part, bundle.dataset(name)["digest"]):
        raise InputError(
            f"{bundle.path}: a part file of its dataset '{name}' is lost or of another run; delete "
            f"{bundle.path} and rerun to redo it"
        )


def _is_kept(path: Path, part: dict, digest: str) -> bool:
    """Whether a part file has the size of its entry, and the digest. Readers check all bytes."""
    return path.is_file() and path.stat().st_size == part["bytes"] and _digest(path) == digest


def _digest(path: Path) -> str | None:
    try:
        return table_metadata(pq.ParquetFile(path)).get("digest")
    except (pa.ArrowInvalid, OSError):
        return None


def _remove_empty(folder: Path) -> None:
    """Delete a folder from which all part files were moved, and the folder above it if it is
    empty."""
    for each in (folder, folder.parent):
        if each.is_dir() and not any(each.iterdir()):
            each.rmdir()


def _join_levels(bundles: list[BundleRecord], name: str, output: str) -> dict[str, dict]:
    """Write the tables of the levels of a dataset; their entries."""
    first = bundles[0].dataset(name)
    paths = {level: Path(output).with_name(f"{name}.{level}.parquet") for level in first["levels"]}
    for level, path in paths.items():
        with level_writer(path, first["width"]) as writer:
            for bundle in bundles:
                known = bundle.dataset(name)["levels"][level]
                table = bundle.level(name, level)
                file = open_table(table, level_schema(first["width"]), known["sha256"], bundle.path)
                for group in range(file.num_row_groups):
                    writer.add(file.read_row_group(group))
    return level_entries(paths)
