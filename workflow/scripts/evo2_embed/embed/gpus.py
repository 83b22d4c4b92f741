"""One process per GPU: each job locks free GPUs and sees only those.

The lock of a GPU is a lock, `flock(2)`, on a file for the GPU. The kernel releases it when the
process ends, for whatever reason. The lock files are empty and are never removed.
"""

import contextlib
import os
import random
import re
import shutil
import stat
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from evo2_embed.io.errors import InputError
from evo2_embed.io.locks import NoLocksError, try_lock
from evo2_embed.io.logs import log

# Not in TMPDIR, which may differ between users: all users of the machine must use one folder.
LOCKS = Path("/tmp/evo2-embed-gpus")

# Variables that name a job, by scheduler, and the part of the job that has its own GPUs.
_JOB_NAMES = (
    ("SLURM_JOB_ID", "SLURM_STEP_ID"),
    ("LSB_JOBID", "LSB_JOBINDEX"),
    ("PBS_JOBID",),
    ("FLUX_JOB_ID",),
)

# SLURM names the GPUs of a step or a job here. It passes on the CUDA_VISIBLE_DEVICES of the login
# node to jobs without GPUs, so that variable alone does not show that it gave any.
_SLURM_GPUS = ("SLURM_STEP_GPUS", "SLURM_JOB_GPUS")


class GpusTakenError(InputError):
    """Other jobs use the GPUs, and the caller does not want to wait."""


@dataclass(frozen=True)
class Gpu:
    """A GPU, or a MIG instance of one.

    `name` is its name in `CUDA_VISIBLE_DEVICES`. `key` is the same for every process of the
    machine: the UUID if it is known, because containers and control groups renumber devices.
    """

    name: str
    key: str


def wanted_gpus(asked: int, device: str) -> int:
    """Number of GPUs that a job claims: its resource `gpu`, else what its scheduler gave it.

    A job may ask its scheduler for GPUs in other ways, such as `gres`. Its `gpu` is then 0.

    Parameters
    ----------
    asked : int
        The resource `gpu`.
    device : {"auto", "cpu", "cuda"}
        With "cpu" the job claims none.
    """
    if device == "cpu":
        return 0
    return asked or (len(visible_gpus()) if _scheduler_gave_gpus() else 0)


def _scheduler_gave_gpus() -> bool:
    if os.environ.get("SLURM_JOB_ID"):
        return any(os.environ.get(name) for name in _SLURM_GPUS)
    return bool(scheduler_job() and os.environ.get("CUDA_VISIBLE_DEVICES"))


def claim_gpus(count: int, folder: Path = LOCKS, wait: bool = True) -> list[str]:
    """Lock free GPUs until this process ends, and hide all others from it.

    Call it once, before CUDA is used: it sets `CUDA_VISIBLE_DEVICES`.

    Parameters
    ----------
    count : int
        Number of GPUs. 0 hides all GPUs, because vortex uses any GPU that it sees.
    folder : Path
        Folder of the lock files.
    wait : bool
        Wait until other jobs release enough GPUs; otherwise raise `GpusTakenError`.

    Returns
    -------
    list of str
        Names as in `CUDA_VISIBLE_DEVICES`; empty if the machine has no GPU.

    Raises
    ------
    InputError
        If fewer GPUs are visible than wanted, or if the folder cannot hold locks.
    """
    visible = visible_gpus() if count else []
    if not visible:
        if not count:
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
        return []
    if len(visible) < count:
        raise InputError(
            f"the job asks for {count} GPUs and sees {len(visible)} "
            f"({', '.join(gpu.name for gpu in visible)}): set its resource gpu to {len(visible)}"
        )
    scope = scheduler_job() if len(visible) <= count else ""
    locks = _Locks(folder)
    files = {gpu.name: _file_name(scope + gpu.key) for gpu in visible}
    taken = locks.take(files, count)
    if not taken and not wait:
        raise GpusTakenError(f"other jobs use the GPUs of this machine ({', '.join(files)})")
    if not taken:
        log.info("other jobs use the GPUs of this machine (%s): waiting", ", ".join(files))
    while not taken:
        # A random pause, so that two jobs that want several GPUs do not block each other forever.
        time.sleep(random.uniform(0.3, 1.0))
        taken = locks.take(files, count)
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(taken)
    log.info("this job uses GPU %s (of %d visible)", ", ".join(taken), len(visible))
    return taken


def visible_gpus() -> list[Gpu]:
    """The GPUs that CUDA would show to this process, in its order, found without torch or CUDA."""
    machine = driver_gpus() or _device_files()
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is None:
        return [gpu for device in machine for gpu in device]
    gpus = {}
    for name in given.split(","):
        gpu = _named(name.strip(), machine)
        if gpu is None:
            break  # like CUDA: all entries after an unknown name are not visible
        gpus.setdefault(gpu.key, gpu)
    return list(gpus.values())


def driver_gpus() -> list[list[Gpu]]:
    """The GPUs that nvidia-smi lists; for a GPU with MIG instances, these.

    They are named by UUID, because CUDA and the driver may number different GPUs differently.
    """
    if shutil.which("nvidia-smi") is None:
        return []
    try:
        answer = subprocess.run(
            ["nvidia-smi", "-L"], capture_output=True, text=True, timeout=60, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        log.warning("nvidia-smi -L failed: %s", error)
        return []
    devices: list[list[str]] = []
    for line in answer.splitlines():
        match = re.match(r"\s*(GPU|MIG) .*\(UUID: ([^)]+)\)", line)
        if match and match[1] == "GPU":
            devices.append([match[2]])
        elif match and devices:
            devices[-1] = [x for x in devices[-1] if x.startswith("MIG-")] + [match[2]]
    return [[Gpu(uuid, uuid) for uuid in device] for device in devices]


def _device_files() -> list[list[Gpu]]:
    numbers = sorted(int(path.name[6:]) for path in Path("/dev").glob("nvidia[0-9]*"))
    return [[Gpu(str(index), f"nvidia{number}")] for index, number in enumerate(numbers)]


def _named(name: str, machine: list[list[Gpu]]) -> Gpu | None:
    """The GPU for an entry of `CUDA_VISIBLE_DEVICES`."""
    if name.isdecimal():
        number = int(name)
        return Gpu(name, machine[number][0].key if number < len(machine) else f"number-{number}")
    if not name.startswith(("GPU-", "MIG-")):
        return None
    full = [gpu.key for device in machine for gpu in device if gpu.key.startswith(name)]
    return Gpu(name, full[0] if len(full) == 1 else name)


def scheduler_job() -> str:
    """Name of the scheduler's job that this process belongs to; empty if there is none.

    A scheduler gives GPUs to one job only. Then only processes of the same job, such as those of a
    Snakemake inside it, have to lock them.
    """
    for names in _JOB_NAMES:
        if os.environ.get(names[0]):
            return "".join(f"{name}={os.environ.get(name, '')} " for name in names)
    return ""


def _file_name(key: str) -> str:
    return re.sub(r"[^A-Za-z0-9.=-]", "_", key)[:200]


class _Locks:
    """A folder of lock files: all users may add files, and nobody can remove those of others."""

    def __init__(self, folder: Path):
        self.folder = folder
        try:
            with _exact_rights():
                os.mkdir(folder, 0o1777)
        except FileExistsError:
            pass
        except OSError as error:
            raise InputError(f"{folder}: cannot be created ({error.strerror})") from error
        try:
            self.handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError as error:
            raise InputError(f"{folder}: not a folder for GPU locks: remove it") from error
        if os.fstat(self.handle).st_mode & 0o1777 != 0o1777:
            raise InputError(f"{folder}: needs mode 1777: run chmod 1777, or remove it")
        try:
            # systemd-tmpfiles does not remove a folder that is locked.
            while not try_lock(self.handle, shared=True):
                time.sleep(0.1)
        except NoLocksError as error:
            raise InputError(
                f"{folder}: its file system has no locks ({error.strerror}), so jobs cannot share "
                "GPUs: put it on a local disk"
            ) from error

    def take(self, files: dict[str, str], count: int) -> list[str]:
        """Lock `count` of the files (by GPU name), or none; returns the names of their GPUs."""
        held: dict[str, int] = {}
        for name, file in files.items():
            handle = self._open(file)
            if not try_lock(handle):
                os.close(handle)
                continue
            held[name] = handle
            if len(held) == count:
                # The descriptors stay open, so the files stay locked, until the process ends. Child
                # processes do not inherit them.
                return list(held)
        for handle in held.values():
            os.close(handle)
        return []

    def _open(self, name: str) -> int:
        """Open for reading, which is enough for a lock: another user may own the file."""
        # O_CREAT without O_EXCL fails on another user's file in a folder with mode 1777.
        with contextlib.suppress(FileExistsError), _exact_rights():
            os.close(os.open(name, os.O_CREAT | os.O_EXCL, 0o644, dir_fd=self.handle))
        try:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
            handle = os.open(name, flags, dir_fd=self.handle)
        except OSError as error:
            raise InputError(f"{self.folder / name}: not a lock file ({error.strerror})") from error
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise InputError(f"{self.folder / name}: not a lock file: remove it")
        return handle


@contextlib.contextmanager
def _exact_rights() -> Iterator[None]:
    """Files created in the block get exactly the given mode, whatever the umask."""
    mask = os.umask(0)
    try:
        yield
    finally:
        os.umask(mask)
