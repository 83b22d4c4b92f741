"""Files that appear whole or not at all."""

import errno
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from evo2_embed.io.errors import InputError
from evo2_embed.io.integrity import open_json, seal_json

# What a disk says that takes no more.
_DISK_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


@contextmanager
def disk_faults(path: Path) -> Iterator[None]:
    """Say in one line which file the disk did not take: full, over quota or read-only."""
    try:
        yield
    except OSError as error:
        if error.errno not in _DISK_FAULTS:
            raise
        reason = os.strerror(error.errno)
        raise InputError(f"{path}: cannot be written: {reason}; mend that and rerun") from error


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path`, moved onto it when the block ends well, removed when not.

    What the block wrote is flushed to the disk before the move, so that a power cut cannot leave
    an empty file under the final name.
    """
    path = Path(path)
    with disk_faults(path):
        handle, name = tempfile.mkstemp(**place_beside(path))
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            _sync(temporary)
            temporary.chmod(0o666 & ~_umask())
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_directory(path: str | Path) -> Iterator[Path]:
    """A temporary folder beside `path` that takes its place, contents and all, at the end."""
    path = Path(path)
    with disk_faults(path):
        temporary = Path(tempfile.mkdtemp(**place_beside(path)))
        try:
            yield temporary
            for file in temporary.iterdir():
                _sync(file)
            temporary.chmod(0o777 & ~_umask())
            if path.exists():
                shutil.rmtree(path)
            os.replace(temporary, path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def write_json(path: str | Path, value: dict) -> None:
    """Write a mapping as indented JSON with its seal, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(seal_json(value), indent=2, ensure_ascii=False) + "\n")


def read_json(path: str | Path) -> dict:
    """Read what `write_json` wrote.

    Raises
    ------
    InputError
        When it is missing, or is not as it was written.
    """
    if not Path(path).is_file():
        raise InputError(f"{path}: the file is missing; rerun to redo it")
    return open_json(Path(path).read_bytes(), path)


def place_beside(path: Path) -> dict:
    """Where the temporary of a path goes, as `tempfile` wants it; those that a killed
    job left are removed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{path.name[:100]}."
    # What `tempfile` puts between the two: one of `blocks.1` is none of `blocks.1.mlp`.
    leftover = re.compile(re.escape(prefix) + r"[a-z0-9_]{8}\.tmp")
    for other in path.parent.iterdir():
        if leftover.fullmatch(other.name):
            remove(other)
    return {"dir": path.parent, "prefix": prefix, "suffix": ".tmp"}


def remove(path: Path) -> None:
    """Remove a file or a folder, as far as it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _sync(path: Path) -> None:
    with open(path, "rb") as handle:
        os.fsync(handle.fileno())


def _umask() -> int:
    # The kernel has no call that reads the mask without setting it.
    mask = os.umask(0)
    os.umask(mask)
    return mask
