"""The record of a bundle: what the jobs of one bundle leave for those that join the bundles."""

from dataclasses import dataclass
from pathlib import Path

from evo2_embed.dataset.part_names import level_path, parts_folder
from evo2_embed.io.files import read_json, write_json

# Entries that the record of a bundle of shards has in common with those made from its datasets.
_ORIGIN = (
    *("settings", "packing", "windows", "checkpoint_sha256", "packages", "bundle", "shards"),
    *("model", "pooling", "precision", "engine", "workflow", "variants"),
)


def write_record(record: str, origin: dict, datasets: dict[str, dict]) -> None:
    """Write the record of a bundle.

    Parameters
    ----------
    record : str
    origin : dict
        What the part files were made from; with `bundle`, the name of the bundle, `digest`, and
        `shards`, the digests of its shards.
    datasets : dict of str to dict
        Per dataset: `digest`, which the metadata of its part files has too, `parts` (of each part
        file `file`, `rows`, `bytes` and `sha256`), `levels` (of each `file` and `sha256`), and what
        the record of the dataset is made from.
    """
    write_json(record, {**origin, "datasets": datasets})


@dataclass(frozen=True)
class BundleRecord:
    """The record of a bundle."""

    path: Path
    record: dict

    @staticmethod
    def open(path: str) -> "BundleRecord":
        """Read a record.

        Raises
        ------
        InputError
            If it is missing, damaged or edited.
        """
        return BundleRecord(Path(path), read_json(path))

    @property
    def bundle(self) -> str:
        """Name of the bundle."""
        return self.record["bundle"]

    @property
    def origin(self) -> dict:
        """What the shards were made from, for the record of what is made from its datasets."""
        return {key: self.record[key] for key in _ORIGIN if key in self.record}

    def dataset(self, name: str) -> dict:
        """What the record says of a dataset."""
        return self.record["datasets"][name]

    def level(self, name: str, level: str) -> Path:
        """Table of a level of a dataset."""
        return level_path(self.path, name, level)

    def new_parts(self, name: str) -> Path:
        """Folder of the part files of a dataset that were not moved yet; may be missing."""
        return parts_folder(self.path, name)
