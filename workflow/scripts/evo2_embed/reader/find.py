"""Finds a dataset: by the folder of results and its names, or by its own folder or record."""

import re
from pathlib import Path

from evo2_embed.dataset.dataset import Dataset
from evo2_embed.dataset.kinds import open_dataset
from evo2_embed.io.errors import InputError
from evo2_embed.io.text import some_of
from evo2_embed.reader.names import not_there
from evo2_embed.settings.extraction import SCORES

MANIFEST = "manifest.json"
# Folders of results: of the datasets that have the manifest, and of those of heads.
EMBEDDINGS, HEADS = "embeddings", "heads"


def find_dataset(path: str | Path, extraction: str | None, layer: str | None) -> Dataset:
    """Open the dataset of a layer, see `evo2_embed.open`.

    Raises
    ------
    InputError
        If it is not there, if names are missing, or if its record or its part files are missing,
        damaged or of another size.
    """
    path = Path(path).expanduser()
    record = _record(path)
    if record is None:
        folder, left = _extraction(path, [name for name in (extraction, layer) if name])
        heads = folder.parent.parent / HEADS / folder.name
        there = names_in(folder) + (names_in(heads) if left else [])
        name = _choose("layer", folder, left, there)
        record = (folder if name in names_in(folder) else heads) / f"{name}.json"
    elif extraction or layer:
        raise InputError(f"{path}: is a dataset; leave out '{extraction or layer}'")
    dataset = open_dataset(record)
    dataset.check_sizes()
    return dataset


def manifest_of(record: Path) -> Path:
    """The manifest of the extraction of a dataset with this record."""
    beside = record.parent / MANIFEST
    shared = record.parent.parent.parent / EMBEDDINGS / record.parent.name / MANIFEST
    return shared if not beside.exists() and shared.exists() else beside


def names_in(folder: Path) -> list[str]:
    """Names of the finished datasets of an extraction: layers, fusions, scores; in their order,
    `blocks.2` before `blocks.10`."""
    records = (path for path in folder.glob("*.json") if path.name != MANIFEST)
    return sorted((path.name.removesuffix(".json") for path in records), key=_order)


def _order(name: str) -> list:
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _record(path: Path) -> Path | None:
    """The record of a dataset, from its own path or from the path of its folder; None if the path
    is another one."""
    if path.name.endswith(".json") and path.name != MANIFEST:
        return path
    record = path.parent / f"{path.name}.json"
    return record if record.is_file() or any(path.glob("part-*.parquet")) else None


def _extraction(path: Path, names: list[str]) -> tuple[Path, list[str]]:
    """The folder of an extraction, and the names that are left for the layer."""
    folder = path.parent if path.name == MANIFEST else path
    if not folder.is_dir():
        raise InputError(f"{path}: there is no such file or folder")
    if names_in(folder):
        return folder, names
    if (folder / EMBEDDINGS).is_dir():
        folder = folder / EMBEDDINGS
    there = sorted(each.name for each in folder.iterdir() if each.is_dir() and names_in(each))
    if not there:
        raise InputError(
            f"{path}: there is no finished dataset in it (allowed: the folder 'results' of a run, "
            "the folder of an extraction, or the folder or record of a dataset)"
        )
    return folder / _choose("extraction", folder, names[:1], there), names[1:]


def _choose(what: str, folder: Path, asked: list[str], there: list[str]) -> str:
    """The name that was asked for; without one the only name that is there."""
    if len(asked) > 1:
        raise InputError(f"{folder}: is the folder of an extraction; name one layer, not {asked}")
    if asked:
        if asked[0] in there:
            return asked[0]
        raise InputError(f"{folder}: {not_there(f'no {what}', asked[0], there)}")
    layers = [name for name in there if name != SCORES] or there
    if len(layers) == 1:
        return layers[0]
    raise InputError(f"{folder}: name one {what} of {some_of(there)}")
