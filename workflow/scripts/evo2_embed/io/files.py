"""Atomic writes of files and folders."""

import errno
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from evo2_embed.io.errors import InputError, MachineError
from evo2_embed.io.integrity import open_json, seal_json

# Errors of a disk that accepts no more data.
_DISK_FAULTS = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
# Errors that tell nothing of the content of a file.
_NOT_CONTENT = (
    *_DISK_FAULTS,
    errno.EIO,
    errno.ESTALE,
    errno.ETIMEDOUT,
    errno.EACCES,
    errno.EPERM,
    errno.ENOENT,
    errno.ENOMEM,
    errno.EMFILE,
    errno.ENFILE,
)


# Called before a file or folder appears under its name; raises if it must not.
_checks: list[Callable[[], None]] = []


@contextmanager
def checked_writes(check: Callable[[], None]) -> Iterator[None]:
    """Within the block, `check` is called before a file or folder appears under its name; an
    exception that it raises leaves the earlier one as it was."""
    _checks.append(check)
    try:
        yield
    finally:
        _checks.remove(check)


def check_write() -> None:
    """Raise if this process may no longer replace files, see `checked_writes`."""
    for check in _checks:
        check()


def is_disk_fault(error: OSError) -> bool:
    """Whether a disk accepts no more data."""
    return error.errno in _DISK_FAULTS


def is_machine_fault(error: BaseException) -> bool:
    """Whether an error tells nothing of the content of the file that was read."""
    if isinstance(error, OSError):
        return error.errno in _NOT_CONTENT
    return isinstance(error, MachineError)


@contextmanager
def disk_faults(path: Path) -> Iterator[None]:
    """An error of one line if the disk is full, over quota or read-only."""
    try:
        yield
    except OSError as error:
        if not is_disk_fault(error):
            raise
        reason = os.strerror(error.errno)
        raise MachineError(
            f"{path}: cannot be written: {reason}; correct this and rerun"
        ) from error


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary path beside `path`; it replaces `path` if the block succeeds, else it is deleted.

    The data is flushed to the disk before the move, so a power failure cannot leave an empty file
    under the final name.
    """
    path = Path(path)
    with disk_faults(path):
        handle, name = tempfile.mkstemp(**temporary_names(path))
        os.close(handle)
        temporary = Path(name)
        try:
            yield temporary
            sync(temporary)
            temporary.chmod(0o666 & ~_umask())
            check_write()
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_directory(path: str | Path) -> Iterator[Path]:
    """A temporary folder beside `path` that replaces `path` at the end.

    If `path` is a symbolic link, the folder that it points to is replaced.
    """
    path = Path(os.path.realpath(path))
    with disk_faults(path):
        temporary = Path(tempfile.mkdtemp(**temporary_names(path)))
        try:
            yield temporary
            for file in temporary.rglob("*"):
                if file.is_file():
                    sync(file)
            temporary.chmod(0o777 & ~_umask())
            check_write()
            if path.exists():
                shutil.rmtree(path)
            os.replace(temporary, path)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def move_file(source: Path, target: Path) -> None:
    """Move a file; it replaces `target` at once, also on another disk."""
    with disk_faults(target):
        check_write()
        try:
            os.replace(source, target)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            with atomic_path(target) as temporary:
                shutil.copyfile(source, temporary)
            source.unlink()


def write_json(path: str | Path, value: dict) -> None:
    """Write a mapping as indented JSON with its digest, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(
            json.dumps(seal_json(value), indent=2, ensure_ascii=False) + "\n", encoding="utf-8"
        )


def read_json(path: str | Path) -> dict:
    """Read a file of `write_json`.

    Raises
    ------
    InputError
        If it is missing, or has changed since it was written.
    """
    if not Path(path).is_file():
        raise InputError(f"{path}: the file is missing; rerun to redo it")
    return open_json(Path(path).read_bytes(), path)


def temporary_names(path: Path) -> dict:
    """Names of a path's temporary file, for `tempfile`; temporary files of killed jobs are
    deleted."""
    path.parent.mkdir(parents=True, exist_ok=True)
    prefix = f".{path.name[:100]}."
    # The part that `tempfile` adds: a file of `blocks.1` must not match `blocks.1.mlp`.
    leftover = re.compile(re.escape(prefix) + r"[a-z0-9_]{8}\.tmp")
    for other in path.parent.iterdir():
        if leftover.fullmatch(other.name):
            remove(other)
    return {"dir": path.parent, "prefix": prefix, "suffix": ".tmp"}


def remove(path: Path) -> None:
    """Delete a file or a folder, if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Flush the data of a file to the disk."""
    with open(path, "rb") as handle:
        os.fsync(handle.fileno())


def _umask() -> int:
    # The mask can only be read by setting it.
    mask = os.umask(0)
    os.umask(mask)
    return mask


def shard_entries(record: dict) -> list[dict]:
    """Entries (`file`, `sha256`) of the files that the record of a shard names."""
    # Records of earlier versions have no entry for scores.
    scores = record.get("scores")
    downstream = record.get("downstream", {})  # only with variants
    return [*record["layers"].values(), *([scores] if scores else []), *downstream.values()]
