"""Locks of the kernel (`flock(2)`): released when their owner ends, however it ends.

A network file system passes them on to its server, so a lock is also released when its owner's
node dies.
"""

import errno
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from evo2_embed.io.errors import InputError
from evo2_embed.io.logs import log

# Errors of file systems without locks.
_NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)
_JOB_VARIABLES = ("SLURM_JOB_ID", "LSB_JOBID", "PBS_JOBID", "JOB_ID")


class NoLocksError(OSError):
    """A file system without locks."""


def try_lock(file: int | IO, shared: bool = False) -> bool:
    """Lock an open file until it is closed, unless another process holds it.

    Parameters
    ----------
    file : int or file object
        Open for reading at least.
    shared : bool
        Other processes may also hold a shared lock, but none an exclusive one.

    Returns
    -------
    bool
        Whether the lock was taken.

    Raises
    ------
    NoLocksError
        If the file system has no locks.
    """
    try:
        fcntl.flock(file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        raise NoLocksError(*error.args) if error.errno in _NO_LOCKS else error from None
    return True


@contextmanager
def exclusive(path: Path, patience: float = 0, pause: float = 1.0) -> Iterator[None]:
    """Hold the lock file `path` for the block; wait while another process holds it.

    The owner may remove the file: a lock on a removed file does not count.

    Parameters
    ----------
    path : Path
        Its folder is created if missing. The newest file in the folder shows when the owner last
        made progress.
    patience : float
        Seconds without progress of the owner after which waiting ends; 0 to wait without limit.
    pause : float
        Seconds between two attempts.

    Raises
    ------
    InputError
        If the owner made no progress for `patience` seconds.
    """
    said = False
    while (file := _try(path)) is None:
        if not said:
            log.info("%s is held by %s: waiting", path, _owner(path))
            said = True
        idle = time.time() - _last_progress(path.parent)
        if patience and idle > patience:
            raise InputError(
                f"{path}: held by {_owner(path)}, which made no progress for {idle:.0f} s: end it "
                "(kill, or scancel its job) and rerun"
            )
        time.sleep(pause)
    with file:
        if file.writable():
            file.truncate(0)
            file.write(json.dumps(_self()))
            file.flush()
        yield


def is_held(path: Path) -> bool:
    """Whether a living process holds the lock file."""
    try:
        with open(path, encoding="utf-8") as file:
            return not try_lock(file, shared=True)
    except OSError:
        return False


def _try(path: Path):
    """The lock file, open and locked; None while another process holds it."""
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            # Not "w": the owner's entry stays until this process has the lock.
            file = open(path, "a", encoding="utf-8")  # noqa: SIM115 - held by the caller
        except FileNotFoundError:
            continue  # another process removed the folder in between
        except PermissionError:
            if not path.exists():
                raise
            # Another user's file. To read it is enough for a lock.
            file = open(path, encoding="utf-8")  # noqa: SIM115
        try:
            if not try_lock(file):
                file.close()
                return None
        except NoLocksError:
            log.warning("%s: no locks on this file system; never start two runs at once", path)
        if _is_at(file, path):
            return file
        file.close()


def _is_at(file, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


def _self() -> dict:
    jobs = (os.environ[name] for name in _JOB_VARIABLES if os.environ.get(name))
    return {
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "job": next(jobs, None),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _owner(path: Path) -> str:
    try:
        owner = json.loads(path.read_text(encoding="utf-8"))
        job = f", job {owner['job']}" if owner["job"] else ""
        return f"process {owner['pid']} on {owner['host']}{job}, since {owner['started']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"


def _last_progress(folder: Path) -> float:
    times = [0.0]
    for path in folder.glob("*"):
        try:
            times.append(path.stat().st_mtime)
        except FileNotFoundError:
            continue
    return max(times)
