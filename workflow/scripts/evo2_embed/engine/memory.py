"""The memory that is free for a pack."""

import ctypes
import os
from pathlib import Path

import numpy as np
import psutil
import torch

LARGE_BLOCK = 1 << 20
# Free memory at the end of the heap that stays with the process, for small tensors.
_TRIM = 64 << 20
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h

# Share of the free memory that a pack may take: the allocator needs some for itself.
SHARE = 0.9


def map_large_blocks() -> None:
    """Have this process return large blocks of memory to the system as soon as they are freed.

    By default glibc raises the size from which it does so, up to 32 MiB, as blocks come and go.
    Tensors then lie between the states of stretches, and the process grows from segment to segment.
    """
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(_M_MMAP_THRESHOLD, LARGE_BLOCK)
        libc.mallopt(_M_TRIM_THRESHOLD, _TRIM)


def use_expandable_segments() -> None:
    """Let the allocator of CUDA grow its segments, so that packs of other sizes fit in what is
    free. Call it before CUDA is used; a setting of the user's stays."""
    os.environ.setdefault("PYTORCH_CUDA_ALLOC_CONF", "expandable_segments:True")


def is_out_of_memory(error: RuntimeError) -> bool:
    """Whether an error says that the memory of a GPU is used up.

    cuBLAS and cuDNN report the memory that they lack for themselves in other words.
    """
    lacking = ("CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED")
    return isinstance(error, torch.cuda.OutOfMemoryError) or any(x in str(error) for x in lacking)


def free_bytes(device: torch.device) -> int:
    """Bytes that a pack may take on a device."""
    if device.type == "cuda":
        reusable = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(SHARE * (torch.cuda.mem_get_info(device)[0] + reusable))
    return int(SHARE * free_host_bytes())


def free_host_bytes() -> int:
    """Free memory of the machine or, if less, of this process's control group (such as a SLURM
    job's)."""
    groups = Path("/proc/self/cgroup")
    lines = groups.read_text(encoding="utf-8").splitlines() if groups.exists() else []
    return int(min(psutil.virtual_memory().available, free_in_control_groups(lines)))


def free_in_control_groups(lines: list[str], root: Path = Path("/sys/fs/cgroup")) -> float:
    """Bytes left in the memory control groups of a process; infinity if none has a limit.

    Parameters
    ----------
    lines : list of str
        From `/proc/self/cgroup`: number, controllers (none in version 2) and path.
    root : Path
        Where the control groups are mounted.
    """
    free = np.inf
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            base, names = root, ("memory.max", "memory.current")
        elif "memory" in controllers.split(","):
            base, names = root / "memory", ("memory.limit_in_bytes", "memory.usage_in_bytes")
        else:
            continue
        folder = base / path.lstrip("/")
        groups = [folder, *(parent for parent in folder.parents if parent.is_relative_to(base))]
        free = min(free, *(_limit_left(group, names) for group in groups))
    return free


def _limit_left(group: Path, names: tuple[str, str]) -> float:
    try:
        limit, used = ((group / name).read_text(encoding="utf-8").strip() for name in names)
        cache = _reclaimable(group)
    except OSError:
        return np.inf
    return np.inf if limit == "max" else max(0, int(limit) - int(used) + cache)


def _reclaimable(group: Path) -> int:
    """File pages of a control group, which the kernel frees when memory is needed."""
    fields = dict(
        line.split() for line in (group / "memory.stat").read_text(encoding="utf-8").splitlines()
    )
    return int(fields.get("inactive_file", 0)) + int(fields.get("active_file", 0))


def gib(count: int) -> str:
    """Bytes as GiB, for a message."""
    return f"{count / 2**30:.2f} GiB"
