"""Regions of genomes: files of intervals in several formats, which are told by their content.

numpy is imported only where a run has regions: others are planned without it.
"""

import os
from functools import lru_cache
from typing import NamedTuple

from evo2_embed.genomes.region_formats import ALLOWED, DAMAGED, Reader, open_lines, reader_of
from evo2_embed.genomes.region_lists import Regions
from evo2_embed.io.errors import InputError
from evo2_embed.io.text import numbered_lines
from evo2_embed.settings.sections import RegionSettings


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
    return _bases(_version(path, settings))


class _Version(NamedTuple):
    """A file of regions as it is now, and the settings that its regions depend on."""

    path: str
    modified: int
    size: int
    features: tuple[str, ...] | None
    name: tuple[str, ...] | None
    splice: bool
    off_contig: str


def _version(path: str, settings: RegionSettings) -> _Version:
    state = os.stat(path)
    features, name = (value and tuple(value) for value in (settings.features, settings.name))
    how = (features, name, settings.splice, settings.off_contig)
    return _Version(path, state.st_mtime_ns, state.st_size, *how)


# Once per version of a file: a run first checks it, then plans with it. All numbers of bases are
# kept, and for the memory few regions.
@lru_cache(maxsize=1 << 16)
def _bases(version: _Version) -> int:
    return sum(int(mine.length.sum()) for mine in _read(version).values())


@lru_cache(maxsize=4)
def _read(version: _Version) -> dict[str, Regions]:
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
        raise InputError(f"{path}: {error.strerror or error}") from None
    if not lists or not lists.start:
        raise InputError(f"{path}: no regions in the file ({ALLOWED})")
    return lists.by_contig()


def _reader(line: str, settings: RegionSettings) -> Reader | None:
    kind = reader_of(line)
    return kind and kind(settings)
