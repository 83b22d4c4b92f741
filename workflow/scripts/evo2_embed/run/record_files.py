"""The files that the records of a run name: Snakemake knows of the records only."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from evo2_embed.dataset.part_names import bundle_of, level_path, parts_folder
from evo2_embed.io.errors import InputError
from evo2_embed.io.files import read_json, shard_entries


@dataclass(frozen=True)
class RecordedFile:
    """A file as its record describes it.

    Attributes
    ----------
    path : Path
    sha256 : str
    size : int or None
        Bytes; None if the record does not have them.
    redo : Path
        What to delete so that the file is made again.
    """

    path: Path
    sha256: str
    size: int | None
    redo: Path

    @property
    def is_lost(self) -> bool:
        """Whether it is missing, or has another size; it is not read."""
        if not self.path.is_file():
            return True
        return self.size is not None and self.path.stat().st_size != self.size


def recorded_files(path: Path, record: dict) -> Iterator[RecordedFile]:
    """The files that a record names.

    Parameters
    ----------
    path : Path
        The record of a dataset, of a shard, of an export, of the rows of a shard in the training
        set, or the summary of the training set. Other files name no files.
    record : dict
        Its content.
    """
    beside, datasets = path.parent, path.with_name(path.name.removesuffix(".json"))
    if "parts" in record and "levels" in record:
        for entry in record["parts"]:
            # The next run misses it, and makes the bundle of the file again.
            yield _recorded(datasets / entry["file"], entry, datasets / entry["file"])
        for entry in record["levels"].values():
            yield _recorded(beside / entry["file"], entry, path)
    elif "datasets" in record and "shards" in record:
        # Part files are moved to the dataset, whose record names them.
        for name, entry in record["datasets"].items():
            for level, known in entry["levels"].items():
                yield _recorded(level_path(path, name, level), known, path)
    elif "exported" in record:
        for entry in record["exported"]:
            yield _recorded(beside / entry["file"], entry, path)
    elif "packs_digest" in record:
        for entry in shard_entries(record):
            yield _recorded(beside / entry["file"], entry, beside)
    elif "blocks_digest" in record:
        for by_split in record["files"].values():
            for entry in by_split.values():
                yield _recorded(beside / entry["file"], entry, beside)
    elif "forms" in record:
        for form, entries in record["forms"].items():
            for name, entry in entries["files"].items():
                yield _recorded(beside / form / name, entry, path)


def lost_bundles(path: str, records: list[str]) -> list[str]:
    """Records of bundles of which a dataset lost part files.

    Parameters
    ----------
    path : str
        The record of the dataset. If it is missing, the job that writes it looks for part files;
        without their folder all are lost that are not still to be moved there.
    records : list of str
        Records of its bundles, `.../bundles/{extraction}/{bundle}/...`.
    """
    if not Path(path).exists() and not Path(path.removesuffix(".json")).exists():
        return [each for each in records if Path(each).exists() and not has_new_parts([each], path)]
    lost = {bundle for bundle, is_lost in files_by_bundle(path).items() if is_lost}
    return [each for each in records if lost and _bundle_of_record(each) in lost]


def _bundle_of_record(record: str) -> str:
    parts = Path(record).parts
    return parts[parts.index("bundles") + 2]


def files_by_bundle(path: str) -> dict[str, bool]:
    """The bundles of a dataset with this record, and whether part files of each are lost. Nothing
    without a record."""
    try:
        record = read_json(path)
    except (InputError, OSError):
        return {}
    found: dict[str, bool] = {}
    for file in recorded_files(Path(path), record):
        bundle = bundle_of(file.path.name)
        if bundle:
            found[bundle] = found.get(bundle, False) or file.is_lost
    return found


def has_new_parts(records: list[str], path: str) -> bool:
    """Whether part files wait beside records of bundles, to be moved to the dataset with the record
    `path`."""
    name = Path(path).name.removesuffix(".json")
    return any(parts_folder(record, name).exists() for record in records)


def has_lost_files(path: str) -> bool:
    """Whether a record exists, and a file that it names is missing or has another size."""
    try:
        record = read_json(path)
    except (InputError, OSError):
        return False  # missing, or its readers will say what is wrong with it
    return any(file.is_lost for file in recorded_files(Path(path), record))


def _recorded(path: Path, entry: dict, redo: Path) -> RecordedFile:
    return RecordedFile(path, entry["sha256"], entry.get("bytes"), redo)
