"""Files at addresses, as `s3://bucket/genome.fa.gz` or `https://host/genome.fa.gz`.

A run works with copies in `results/inputs`, so that everything else has local paths. Jobs make the
copies of FASTA files and checkpoints; those of regions and variants are made when the run starts,
since the plan reads them. Snakemake's storage plugins do the transfer. They are imported only if
there are addresses.
"""

import os
import re
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from evo2_embed.io.errors import InputError, MachineError
from evo2_embed.io.files import atomic_path

# Folder of the copies that jobs make, and of those that are made when a run starts.
COPIES = "results/inputs"
EARLY_COPIES = f"{COPIES}/early"
NOT_AN_ADDRESS = (
    "not an address of a file (allowed: s3://bucket/key or https://host/path, without user, '?', "
    "'#', '//' or '..')"
)
_ADDRESS = re.compile(r"(s3|https?)://[^/?#@\s]+(/[^/?#\s]+)+")
_COPY = re.compile(rf"{COPIES}/(?:early/)?(s3|https?)/(.+)")
_PLUGINS = {"s3": "s3", "http": "http", "https": "http"}
_THREADS = 16


@dataclass(frozen=True)
class Remote:
    """What a server says of a file: its size in bytes, and when it was modified (0 if it does not
    say)."""

    size: int
    modified: float


def is_address(text: str) -> bool:
    """Whether a text is meant to be an address."""
    return re.match(r"(s3|https?):", text, re.IGNORECASE) is not None


def is_remote(path: str) -> bool:
    """Whether a path is the copy of a file at an address, or such an address that is not valid."""
    return is_address(path) or address_of(path) is not None


def copy_path(text: str, early: bool = False) -> str:
    """Path of the copy of a file at an address; another text stays as it is."""
    if not _ADDRESS.fullmatch(text) or {".", ".."} & set(text.split("/")):
        return text
    scheme, place = text.split("://")
    return f"{EARLY_COPIES if early else COPIES}/{scheme}/{place}"


def address_of(path: str) -> str | None:
    """The address of which a path is the copy; None for other paths."""
    match = _COPY.fullmatch(path)
    return match and f"{match[1]}://{match[2]}"


@cache
def look_up(address: str) -> Remote:
    """Ask the server for a file, once per process.

    Raises
    ------
    InputError
        If there is no such file.
    MachineError
        If the plugin is not installed, or the server cannot be asked.
    """
    file = _object(address)
    try:
        if file.exists():
            return Remote(file.size(), file.mtime())
    except Exception as error:  # each plugin has its own
        raise MachineError(f"{address}: the server cannot be asked ({_line(error)})") from error
    raise InputError("no such file on the server, or it may not be read")


def prepare(paths: list[str]) -> None:
    """Ask for the files of copies, and make early copies, side by side. A file that fails is asked
    for again by `look_up`, which raises."""

    def ask(path: str) -> None:
        try:
            look_up(address_of(path))
            if path.startswith(EARLY_COPIES):
                fetch_early(path)
        except InputError:
            return

    copies = [path for path in dict.fromkeys(paths) if address_of(path)]
    if copies:
        ask(copies[0])  # the plugin is imported in one thread
        with ThreadPoolExecutor(_THREADS) as pool:
            list(pool.map(ask, copies[1:]))


def file_size(path: str) -> int:
    """Bytes of a file, or of the file of which a path is the copy."""
    address = address_of(path)
    return look_up(address).size if address else os.stat(path).st_size


def is_current(path: str) -> bool:
    """Whether a file is there and, if it is a copy, not older than the file at its address."""
    address = address_of(path)
    if not Path(path).exists():
        return False
    return not address or look_up(address).modified <= Path(path).stat().st_mtime


def fetch_early(path: str) -> None:
    """Make a copy when a run starts, unless it is current.

    Raises
    ------
    InputError
        As `look_up`.
    """
    address = address_of(path)
    if not address or is_current(path):
        return
    file = _object(address)
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        file.set_local_path(temporary)
        try:
            file.retrieve_object()
        except Exception as error:  # each plugin has its own
            reason = f"the server does not give the file ({_line(error)})"
            raise MachineError(f"{address}: {reason}") from error


def keep_copy(fetched: str, path: str) -> None:
    """Put a file that Snakemake fetched, and will delete, under the path of the copy. It has the
    time of now, not that of the server."""
    with atomic_path(path) as temporary:
        temporary.unlink()
        try:
            os.link(fetched, temporary)
        except OSError:  # another file system
            shutil.copyfile(fetched, temporary)
        os.utime(temporary)


def _object(address: str):
    """The plugin's object of a file."""
    try:
        return _provider(_PLUGINS[address.split("://")[0]]).object(address)
    except MachineError as error:
        raise MachineError(f"{address}: {error}") from None


@cache
def _provider(plugin: str):
    """The plugin's connection to its servers."""
    package = f"snakemake_storage_plugin_{plugin}"
    if find_spec(package) is None:
        raise MachineError(
            f"the package {package.replace('_', '-')} is missing: run `make storage-env`, or pip "
            "install -r envs/requirements-storage.txt"
        )
    from snakemake_interface_storage_plugins.registry import StoragePluginRegistry

    found = StoragePluginRegistry().get_plugin(plugin)
    folder = Path(tempfile.gettempdir())
    return found.storage_provider(folder, None, settings=found.settings_cls())


def _line(error: Exception) -> str:
    """An error in one line."""
    return " ".join(str(error).split()) or type(error).__name__
