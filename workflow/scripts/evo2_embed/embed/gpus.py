"""One process, one GPU: jobs on one machine claim GPUs of their own.

A claim is a lock, `flock(2)`, on a file that stands for the GPU. The kernel gives it back when the
process ends, however it ends. The lock files are empty and stay.
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
from evo2_embed.io.locks import try_lock
from evo2_embed.io.logs import log

# Not the folder of TMPDIR, which may be one's own: all users of the machine have to meet here.
LOCKS = Path("/tmp/evo2-embed-gpus")

# Names of a job, by scheduler; with the part of the job that has GPUs to itself.
_JOB_NAMES = (
    ("SLURM_JOB_ID", "SLURM_STEP_ID"),
    ("LSB_JOBID", "LSB_JOBINDEX"),
    ("PBS_JOBID",),
    ("FLUX_JOB_ID",),
)


class GpusTakenError(InputError):
    """Other jobs have the GPUs, and the caller does not want to wait."""


@dataclass(frozen=True)
class Gpu:
    """A GPU, or a MIG instance of one.

    `name` is what `CUDA_VISIBLE_DEVICES` takes. `key` is the same for every process of the machine:
    the UUID where it is known, since containers and control groups number their devices anew.
    """

    name: str
    key: str


def claim_gpus(count: int, folder: Path = LOCKS, wait: bool = True) -> list[str]:
    """Take GPUs that no other job of this machine has, and show this process no others.

    To be called once, before CUDA is used: it sets `CUDA_VISIBLE_DEVICES`. The GPUs are this
    process's until it ends.

    Parameters
    ----------
    count : int
        How many. 0 hides every GPU, since vortex uses any that it sees.
    folder : Path
        Where the lock files are.
    wait : bool
        Wait for GPUs that others have; otherwise a `GpusTakenError`.

    Returns
    -------
    list of str
        Names as in `CUDA_VISIBLE_DEVICES`; none where the machine has no GPU.

    Raises
    ------
    InputError
        When fewer GPUs are visible than wanted, or the folder is not fit for locks.
    """
    visible = visible_gpus() if count else []
    if not visible:
        if not count:
            os.environ["CUDA_VISIBLE_DEVICES"] = ""
        return []
    if len(visible) < count:
        raise InputError(
            f"the job asks for {count} GPUs and sees {len(visible)} "
            f"({', '.join(gpu.name for gpu in visible)}): set its resource gpu to what is there"
        )
    scope = scheduler_job() if len(visible) <= count else ""
    locks = _Locks(folder)
    files = {gpu.name: _file_name(scope + gpu.key) for gpu in visible}
    taken = locks.take(files, count)
    if not taken and not wait:
        raise GpusTakenError(f"other jobs have the GPUs of this machine ({', '.join(files)})")
    if not taken:
        log.info("other jobs have the GPUs of this machine (%s): waiting", ", ".join(files))
    while not taken:
        # Of uneven length, so that two jobs that want several do not take turns in failing.
        time.sleep(random.uniform(0.3, 1.0))
        taken = locks.take(files, count)
    os.environ["CUDA_VISIBLE_DEVICES"] = ",".join(taken)
    log.info("GPU %s, of %d visible, is this job's own", ", ".join(taken), len(visible))
    return taken


def visible_gpus() -> list[Gpu]:
    """The GPUs that CUDA would show to this process, in its order; asks neither torch nor CUDA."""
    machine = driver_gpus() or _device_files()
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is None:
        return [gpu for device in machine for gpu in device]
    gpus = {}
    for name in given.split(","):
        gpu = _named(name.strip(), machine)
        if gpu is None:
            break  # as CUDA does it: what follows a name that it does not know is not visible
        gpus.setdefault(gpu.key, gpu)
    return list(gpus.values())


def driver_gpus() -> list[list[Gpu]]:
    """What nvidia-smi lists: of every GPU itself, or its MIG instances where it has any.

    They are named by UUID: CUDA numbers unlike GPUs in another order than the driver.
    """
    if shutil.which("nvidia-smi") is None:
        return []
    try:
        answer = subprocess.run(
            ["nvidia-smi", "-L"], capture_output=True, text=True, timeout=60, check=True
        ).stdout
    except (OSError, subprocess.SubprocessError) as error:
        log.warning("nvidia-smi -L gives no answer: %s", error)
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
    """The GPU of an entry of `CUDA_VISIBLE_DEVICES`."""
    if name.isdecimal():
        number = int(name)
        return Gpu(name, machine[number][0].key if number < len(machine) else f"number-{number}")
    if not name.startswith(("GPU-", "MIG-")):
        return None
    full = [gpu.key for device in machine for gpu in device if gpu.key.startswith(name)]
    return Gpu(name, full[0] if len(full) == 1 else name)


def scheduler_job() -> str:
    """Name of the scheduler's job that this process is part of; empty if it is none.

    A scheduler that gave a job its GPUs has seen to it that no other job has them. Only processes
    of the same job, of a Snakemake that runs inside it for one, have to share them out.
    """
    for names in _JOB_NAMES:
        if os.environ.get(names[0]):
            return "".join(f"{name}={os.environ.get(name, '')} " for name in names)
    return ""


def _file_name(key: str) -> str:
    return re.sub(r"[^A-Za-z0-9.=-]", "_", key)[:200]


class _Locks:
    """A folder of lock files: every user may add one, and nobody remove another's."""

    def __init__(self, folder: Path):
        self.folder = folder
        try:
            with _exact_rights():
                os.mkdir(folder, 0o1777)
        except FileExistsError:
            pass
        except OSError as error:
            raise InputError(f"{folder}: cannot be made ({error.strerror})") from error
        try:
            self.handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        except OSError as error:
            raise InputError(f"{folder}: is not the folder of GPU locks: remove it") from error
        if os.fstat(self.handle).st_mode & 0o1777 != 0o1777:
            raise InputError(f"{folder}: needs the rights 1777 (chmod 1777), or to be removed")
        # systemd-tmpfiles does not remove a folder that is locked.
        while not try_lock(self.handle, shared=True):
            time.sleep(0.1)

    def take(self, files: dict[str, str], count: int) -> list[str]:
        """Lock `count` of the files, or none; the names of the GPUs that they stand for."""
        held: dict[str, int] = {}
        for name, file in files.items():
            handle = self._open(file)
            if not try_lock(handle):
                os.close(handle)
                continue
            held[name] = handle
            if len(held) == count:
                # The descriptors stay open, and the files locked, until the process ends; programs
                # that it starts do not inherit them.
                return list(held)
        for handle in held.values():
            os.close(handle)
        return []

    def _open(self, name: str) -> int:
        """Open for reading, which is enough for a lock: the file may be another user's."""
        # Not O_CREAT alone: in such a folder the kernel refuses that for another user's file.
        with contextlib.suppress(FileExistsError), _exact_rights():
            os.close(os.open(name, os.O_CREAT | os.O_EXCL, 0o644, dir_fd=self.handle))
        try:
            flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
            handle = os.open(name, flags, dir_fd=self.handle)
        except OSError as error:
            raise InputError(f"{self.folder / name}: no lock file ({error.strerror})") from error
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise InputError(f"{self.folder / name}: is no lock file: remove it")
        return handle


@contextlib.contextmanager
def _exact_rights() -> Iterator[None]:
    """What is made in the block has the rights that are asked for, whatever the umask."""
    mask = os.umask(0)
    try:
        yield
    finally:
        os.umask(mask)
