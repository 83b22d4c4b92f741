"""A lock that one living process holds: it goes with its owner, however that one ends."""

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

from evo2_embed.io.errors import InputError
from evo2_embed.io.logs import log

# What file systems without locks answer.
_NO_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)
_JOB_VARIABLES = ("SLURM_JOB_ID", "LSB_JOBID", "PBS_JOBID", "JOB_ID")


@contextmanager
def exclusive(path: Path, patience: float, pause: float = 1.0) -> Iterator[None]:
    """Hold the lock file `path` for the block; wait while another process holds it.

    The lock is the kernel's (`flock(2)`), which a network file system passes on to its server, so a
    process that was killed, or whose node died, holds it no longer. The file may be removed by its
    owner: a lock on a file that is no longer there is not taken for one.

    Parameters
    ----------
    path : Path
        Its folder is made, and says how the owner gets on: by the youngest of its files.
    patience : float
        Seconds without progress of the owner after which waiting ends; 0 to wait for ever.
    pause : float
        Seconds between two tries.

    Raises
    ------
    InputError
        When the owner made no progress for that long.
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
        file.truncate(0)
        file.write(json.dumps(_self()))
        file.flush()
        yield


def is_held(path: Path) -> bool:
    """Whether a living process holds the lock file."""
    try:
        with open(path) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _try(path: Path):
    """The lock file, locked; None while another process holds it."""
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            # Not "w": what the owner wrote into it stays until the lock is ours.
            file = open(path, "a")  # noqa: SIM115 - held by the caller
        except FileNotFoundError:
            continue  # its folder was removed in between
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
        except OSError as error:
            if error.errno not in _NO_LOCKS:
                file.close()
                raise
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
        owner = json.loads(path.read_text())
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
