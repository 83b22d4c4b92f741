"""Names of the files that the jobs of one bundle write, and of those in a dataset.

The part files of a dataset are in the folder `parts/{dataset}` beside the record of the bundle,
until they are moved to the dataset. Tables of levels stay in the folder `levels` beside the record.
"""

import re
from pathlib import Path

_PART = re.compile(r"part-\d{5}-(.+)-(\d{5})\.parquet")


def parts_folder(record: str | Path, name: str) -> Path:
    """Folder of the part files of a dataset, until they are moved to the dataset."""
    return Path(record).parent / "parts" / name


def level_path(record: str | Path, name: str, level: str) -> Path:
    """Table of a level of a dataset."""
    return Path(record).parent / "levels" / f"{name}.{level}.parquet"


def part_name(number: int, bundle: str, index: int) -> str:
    """Name of a part file in a dataset: number and name of its bundle, and its number there. The
    order of the names is that of the rows."""
    return f"part-{number:05d}-{bundle}-{index:05d}.parquet"


def part_of(file: str) -> tuple[str, int] | None:
    """Bundle of a part file, and its number there; None for a file of a version without bundles."""
    match = _PART.fullmatch(file)
    return match and (match[1], int(match[2]))


def bundle_of(file: str) -> str | None:
    """Bundle of a part file; None for a file of a version without bundles."""
    part = part_of(file)
    return part and part[0]
