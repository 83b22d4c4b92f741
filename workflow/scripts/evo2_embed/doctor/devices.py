"""GPUs, against what model and precision need. Imports torch, where it is used."""

import sys
from pathlib import Path

from evo2_embed.doctor.findings import Finding, fault, fine, remark
from evo2_embed.doctor.software import has_module, installed
from evo2_embed.embed.gpus import driver_gpus, scheduler_job, visible_gpus
from evo2_embed.io.errors import InputError
from evo2_embed.io.text import human_bytes

DRIVER = Path("/proc/driver/nvidia/version")


def has_driver() -> bool:
    """Whether this machine has an NVIDIA driver that works."""
    return DRIVER.exists() or bool(driver_gpus())


def device_findings(device: str, precision: str, wanted: int) -> list[Finding]:
    """What the model would run on, and whether it can.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda"}
    precision : {"fp32", "bf16", "fp8"}
    wanted : int
        GPUs that the process should have.
    """
    import torch

    from evo2_embed.model.import_evo2 import choose_device

    if device != "cpu" and not torch.cuda.is_available() and visible_gpus() and has_driver():
        return [_unseen(torch.__version__, torch.version.cuda)]
    try:
        chosen = choose_device(device, precision)
    except InputError as error:
        return [fault("GPU", str(error))]
    if chosen.type == "cpu":
        return [_no_gpu(device, wanted)]
    count = torch.cuda.device_count()
    names = ", ".join(
        "{} ({}.{})".format(torch.cuda.get_device_name(i), *torch.cuda.get_device_capability(i))
        for i in range(count)
    )
    return [
        fine("GPU", f"{names}: fit for {precision}"),
        _count(count, wanted),
        _flash_attention(),
        _transformer_engine(precision),
    ]


def gpu_memory_finding(weight_bytes: int, precision: str) -> Finding:
    """Memory of the GPUs, against the weights. What packs need comes on top.

    Parameters
    ----------
    weight_bytes : int
        Of the checkpoint: bfloat16, near enough.
    precision : {"fp32", "bf16", "fp8"}
    """
    import torch

    count = torch.cuda.device_count()
    needed = weight_bytes * (2 if precision == "fp32" else 1)
    size = sum(torch.cuda.get_device_properties(index).total_memory for index in range(count))
    free = sum(torch.cuda.mem_get_info(index)[0] for index in range(count))
    text = (
        f"the weights take about {human_bytes(needed)} of {human_bytes(size)}, of which "
        f"{human_bytes(free)} are free"
    )
    if needed > size:
        more = "take a larger GPU, or more than one (--set-resources embed_shard:gpu=2)"
        return fault("GPU memory", f"{text}: {more}")
    if needed > free:
        return fault("GPU memory", f"{text}: other processes use this GPU (see nvidia-smi)")
    return fine("GPU memory", text)


def _unseen(torch_version: str, cuda_version: str | None) -> Finding:
    names = ", ".join(gpu.name for gpu in visible_gpus())
    built = f"built for CUDA {cuda_version}" if cuda_version else "built without CUDA"
    return fault(
        "GPU",
        f"{names} and its driver are here, but torch {torch_version} ({built}) in {sys.prefix} "
        "sees no GPU: load the environment for GPUs, or update the driver if it is the older one",
    )


def _no_gpu(device: str, wanted: int) -> Finding:
    given = ", ".join(gpu.name for gpu in visible_gpus())
    if device != "cpu" and given:
        text = f"{given} is named, but this machine has no NVIDIA driver: the CPU runs the model"
        return remark("GPU", text)
    if device != "cpu" and wanted and scheduler_job():
        return remark(
            "GPU",
            f"the job asked for {wanted} and was given none: the CPU runs the model "
            "(runtime.device: cuda makes that an error)",
        )
    return fine("GPU", "none: the CPU runs the model")


def _count(seen: int, wanted: int) -> Finding:
    if seen != wanted:
        return fault(
            "GPUs visible",
            f"{seen}, but the job asked for {wanted}: see that the scheduler gives a job GPUs of "
            "its own, and that CUDA_VISIBLE_DEVICES says which",
        )
    return fine("GPUs visible", str(seen))


def _flash_attention() -> Finding:
    if has_module("flash_attn_2_cuda"):
        return fine("flash-attn", installed("flash-attn") or "of unknown version")
    return fault(
        "flash-attn",
        "not installed: on a GPU the model's code cannot be imported without it "
        "(envs/requirements-gpu.txt says how to install it)",
    )


def _transformer_engine(precision: str) -> Finding:
    found = installed("transformer_engine")
    if precision == "fp8":
        return fine("Transformer Engine", found or "of unknown version")
    return fine("Transformer Engine", f"{found or 'not installed'}, not needed for {precision}")
