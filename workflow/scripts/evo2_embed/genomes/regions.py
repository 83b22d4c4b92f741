"""Regions of genomes: files of intervals in several formats, which are told by their content.

numpy is imported only where a run has regions: others are planned without it.
"""

import os
from typing import NamedTuple

from evo2_embed.genomes.region_formats import ALLOWED, DAMAGED, Reader, open_lines, reader_of
from evo2_embed.genomes.region_lists import Regions
from evo2_embed.io.errors import InputError, MachineError
from evo2_embed.io.files import is_machine_fault
from evo2_embed.io.text import numbered_lines
from evo2_embed.settings.windows import RegionSettings

MOST_KEPT = 2_000_000  # regions in memory, half a gigabyte


def read_regions(path: str, settings: RegionSettings) -> dict[str, Regions]:
    """Read a file of regions.

    Parameters
    ----------
    path : str
    settings : RegionSettings
        The section `regions` of the configuration.

    Returns
    -------
    dict
        Regions by contig, in the order of the file.

    Raises
    ------
    InputError
        For the first fault, with the file and the line; if there are no regions.
    """
    return _read(_version(path, settings))


def region_bases(path: str, settings: RegionSettings) -> int:
    """Bases of all regions of a file; bases in two regions count twice.

    Raises
    ------
    InputError
        As `read_regions`.
    """
    return sum(int(mine.length.sum()) for mine in read_regions(path, settings).values())


class _Version(NamedTuple):
    """A file of regions as it is now, and the settings that its regions depend on."""

    path: str
    modified: int
    size: int
    features: tuple[str, ...] | None
    name: tuple[str, ...] | None
    splice: bool
    off_contig: str


# What was read, and its number of regions: a run first checks its files, then plans with them.
_kept: dict[_Version, tuple[dict[str, Regions], int]] = {}


def _version(path: str, settings: RegionSettings) -> _Version:
    state = os.stat(path)
    features, name = (value and tuple(value) for value in (settings.features, settings.name))
    how = (features, name, settings.splice, settings.off_contig)
    return _Version(path, state.st_mtime_ns, state.st_size, *how)


def _read(version: _Version) -> dict[str, Regions]:
    if version in _kept:
        return _kept[version][0]
    regions = _parse(version)
    count = sum(map(len, regions.values()))
    if sum(kept for _, kept in _kept.values()) + count > MOST_KEPT and _kept:
        _kept.popitem()  # the last: files are read in the order of the sheet, several times
    _kept[version] = regions, count
    return regions


def _parse(version: _Version) -> dict[str, Regions]:
    path, _, _, features, name, splice, off_contig = version
    settings = RegionSettings(features=features, name=name, splice=splice, off_contig=off_contig)
    number = 0
    try:
        with open_lines(path) as handle:
            reader: Reader | None = None
            for number, line in numbered_lines(handle):
                try:
                    reader = reader or _reader(line, settings)
                    if reader and not reader.take(number, line):
                        break
                except InputError as error:
                    raise InputError(f"line {number}: {error}") from None
        lists = reader and reader.finish()
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except UnicodeDecodeError:
        after = f" after line {number}" if number else ""
        raise InputError(f"{path}: not UTF-8 text{after} ({ALLOWED})") from None
    except DAMAGED as error:
        raise InputError(f"{path}: truncated or damaged gzip file ({error})") from None
    except OSError as error:
        kind = MachineError if is_machine_fault(error) else InputError
        raise kind(f"{path}: {error.strerror or error}") from None
    if not lists or not lists.start:
        raise InputError(f"{path}: no regions in the file ({ALLOWED})")
    return lists.by_contig()


def _reader(line: str, settings: RegionSettings) -> Reader | None:
    kind = reader_of(line)
    return kind and kind(settings)
