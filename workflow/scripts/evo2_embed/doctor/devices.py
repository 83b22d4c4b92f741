"""GPUs, compared with the needs of model and precision. torch is imported only where it is used."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from evo2_embed.doctor.findings import Finding, fail, ok, warn
from evo2_embed.doctor.software import installed
from evo2_embed.embed.gpus import driver_gpus, scheduler_job, visible_gpus
from evo2_embed.io.errors import InputError
from evo2_embed.io.text import human_bytes

if TYPE_CHECKING:
    import torch

DRIVER = Path("/proc/driver/nvidia/version")


def has_driver() -> bool:
    """Whether this machine has a working NVIDIA driver."""
    return DRIVER.exists() or bool(driver_gpus())


def device_findings(
    device: str, precision: str, wanted: int, kernels: str = "auto"
) -> list[Finding]:
    """The device that the model would run on, and whether it is suitable.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda"}
    precision : {"fp32", "bf16", "fp8"}
    wanted : int
        Number of GPUs that the process should have.
    kernels : {"auto", "torch", "triton"}
    """
    import torch

    from evo2_embed.model.import_evo2 import choose_device

    if device != "cpu" and not torch.cuda.is_available() and visible_gpus() and has_driver():
        return [_unseen(torch.__version__, torch.version.cuda)]
    try:
        chosen = choose_device(device, precision)
    except InputError as error:
        return [fail("GPU", str(error))]
    if chosen.type == "cpu":
        findings = [_no_gpu(device, wanted)]
        return findings + ([_triton(chosen, kernels)] if kernels == "triton" else [])
    count = torch.cuda.device_count()
    names = ", ".join(
        "{} ({}.{})".format(torch.cuda.get_device_name(i), *torch.cuda.get_device_capability(i))
        for i in range(count)
    )
    return [
        ok("GPU", f"{names}: suitable for {precision}"),
        _count(count, wanted),
        _flash_attention(),
        _triton(chosen, kernels),
        _transformer_engine(precision),
    ]


def gpu_memory_finding(weight_bytes: int, precision: str) -> Finding:
    """Memory of the GPUs, compared with the size of the weights. Packs need more memory.

    Parameters
    ----------
    weight_bytes : int
        Size of the checkpoint, taken as bfloat16.
    precision : {"fp32", "bf16", "fp8"}
    """
    import torch

    count = torch.cuda.device_count()
    needed = weight_bytes * (2 if precision == "fp32" else 1)
    size = sum(torch.cuda.get_device_properties(index).total_memory for index in range(count))
    free = sum(torch.cuda.mem_get_info(index)[0] for index in range(count))
    text = (
        f"the weights need about {human_bytes(needed)} of {human_bytes(size)}; "
        f"{human_bytes(free)} are free"
    )
    if needed > size:
        more = "use a larger GPU, or more than one (--set-resources embed_shard:gpu=2)"
        return fail("GPU memory", f"{text}: {more}")
    if needed > free:
        return fail("GPU memory", f"{text}: other processes use this GPU (see nvidia-smi)")
    return ok("GPU memory", text)


def _unseen(torch_version: str, cuda_version: str | None) -> Finding:
    names = ", ".join(gpu.name for gpu in visible_gpus())
    built = f"built for CUDA {cuda_version}" if cuda_version else "built without CUDA"
    return fail(
        "GPU",
        f"{names} and a driver exist, but torch {torch_version} ({built}) in {sys.prefix} sees no "
        "GPU: load the environment for GPUs, or update the driver if it is older than CUDA",
    )


def _no_gpu(device: str, wanted: int) -> Finding:
    given = ", ".join(gpu.name for gpu in visible_gpus())
    if device != "cpu" and given:
        text = f"CUDA_VISIBLE_DEVICES is {given}, but no NVIDIA driver exists: the CPU is used"
        return warn("GPU", text)
    if device != "cpu" and wanted and scheduler_job():
        return warn(
            "GPU",
            f"the job asked for {wanted} and got none: the CPU runs the model "
            "(runtime.device: cuda makes this an error)",
        )
    return ok("GPU", "none: the CPU runs the model")


def _count(seen: int, wanted: int) -> Finding:
    if seen != wanted:
        return fail(
            "GPUs visible",
            f"{seen}, but the job asked for {wanted}: check that the scheduler gives each job its "
            "own GPUs, and that CUDA_VISIBLE_DEVICES names them",
        )
    return ok("GPUs visible", str(seen))


def _flash_attention() -> Finding:
    from evo2_embed.model.import_evo2 import has_flash_attention

    if has_flash_attention():
        return ok("flash-attn", installed("flash-attn") or "unknown version")
    return ok("flash-attn", "not in use: PyTorch's own attention kernels run")


def _triton(device: "torch.device", kernels: str) -> Finding:
    from evo2_embed.engine.kernels.choose import choose_kernels

    try:
        chosen = choose_kernels(kernels, device)
    except InputError as error:
        return fail("Triton kernels", str(error))
    if chosen == "triton":
        return ok("Triton kernels", "can run here")
    if kernels == "torch":
        return ok("Triton kernels", "not used (runtime.kernels: torch)")
    return warn(
        "Triton kernels",
        "cannot run without a C compiler (gcc) and the headers of Python (python3-dev): PyTorch's "
        "own kernels run, and embedding is slower",
    )


def _transformer_engine(precision: str) -> Finding:
    found = installed("transformer_engine")
    if precision == "fp8":
        return ok("Transformer Engine", found or "unknown version")
    return ok("Transformer Engine", f"{found or 'not installed'}, not needed for {precision}")
