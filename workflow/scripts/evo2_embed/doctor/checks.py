"""Which checks run for a job that is about to start, for a run, and for `make doctor`."""

from pathlib import Path

from evo2_embed.config.read import read_yaml
from evo2_embed.doctor.devices import device_findings, gpu_memory_finding, has_driver
from evo2_embed.doctor.findings import Finding, fail, failed, log_and_stop, ok, warn
from evo2_embed.doctor.prompts import loss_finding
from evo2_embed.doctor.software import (
    import_finding,
    installed,
    package_findings,
    python_finding,
    read_pins,
)
from evo2_embed.doctor.storage import (
    cache_finding,
    disk_finding,
    memory_finding,
    temporary_finding,
    weight_bytes,
    weights_finding,
)
from evo2_embed.embed.gpus import GpusTakenError, claim_gpus, visible_gpus
from evo2_embed.export.packages import package_faults
from evo2_embed.io.errors import InputError
from evo2_embed.model.registry import TINY
from evo2_embed.model.weights import weights_path
from evo2_embed.plan.estimate import estimate_run
from evo2_embed.plan.temporary import temporary_bytes
from evo2_embed.run.frozen import INDEXES, Run, plan_run
from evo2_embed.settings.extraction import Extraction, Model
from evo2_embed.settings.jobs import Runtime
from evo2_embed.settings.settings import Settings

RESULTS = "results"


def check_job(model: str, precision: str, weights: Path, runtime: Runtime, gpus: int) -> None:
    """Check the environment of an embedding job; one line per check in the log.

    Takes well under a second beyond the imports that the job needs anyway. Call it after
    `gpus.claim_gpus`.

    Parameters
    ----------
    model : str
        Its name.
    precision : {"fp32", "bf16", "fp8"}
    weights : Path
    runtime : Runtime
        `device` and `kernels` are used.
    gpus : int
        Number of GPUs that the job asked for.

    Raises
    ------
    InputError
        If a check failed: all failures in one line.
    """
    log_and_stop(_software())  # before torch is imported
    log_and_stop(device_findings(runtime.device, precision, gpus, runtime.kernels))
    log_and_stop([import_finding(), temporary_finding()])
    log_and_stop([_memory(weight_bytes(model, weights), precision)])


def check_run(model: Model, directory: str, run: Run) -> list[Finding]:
    """Checks of a run that need no GPU: software, weights, disk. One line per check in the log.

    Parameters
    ----------
    model : Model
    directory : str
        Folder of downloaded checkpoints.
    run : Run
        The run, for the size of its results.

    Raises
    ------
    InputError
        If a check failed: all failures in one line.
    """
    findings = [
        *_software(),
        weights_finding(model, directory),
        disk_finding(RESULTS, missing_bytes(run)),
        temporary_finding(temporary_bytes(run.bundles)),
    ]
    log_and_stop(findings)
    return findings


def check_machine(config: str, gpus: int = 1) -> list[Finding]:
    """Check this machine for everything that a configuration needs (`make doctor`).

    An invalid or missing configuration is one of the failures; the bundled model then replaces its
    models. Weights are read completely and compared with the records of earlier runs. With real
    weights and a GPU, the model is loaded to compute its loss. GPUs of running jobs are not used.

    Parameters
    ----------
    config : str
        Path of the configuration.
    gpus : int
        GPUs per embedding job.
    """
    run, findings = _read_config(config)
    software = _software()
    missing = None if failed(findings) else missing_bytes(run)
    findings += [fail("packages", fault) for fault in package_faults(run.settings)]
    temporary = temporary_finding(temporary_bytes(run.bundles))
    findings += [*software, disk_finding(RESULTS, missing), temporary, cache_finding()]
    directory, device = run.settings.model_directory, run.settings.runtime.device
    for key, model in run.models.items():
        findings.append(weights_finding(model, directory, f"{RESULTS}/models/{key}.json"))
    if failed(software):
        return findings
    wanted = 0 if device == "cpu" else gpus
    visible = visible_gpus()
    try:
        claim_gpus(wanted, wait=False)
    except GpusTakenError as error:
        return [*findings, warn("GPU", f"{error}: they were not checked")]
    except InputError as error:
        return [*findings, fail("GPU", str(error))]
    if wanted and len(visible) > wanted:
        jobs = len(visible) // wanted
        text = f"{len(visible)}: {jobs} jobs at once with --resources gpu={jobs * wanted}"
        findings.append(ok("GPUs", text))
    for model, precision in _models_in_use(run):
        path = weights_path(model, directory)
        findings += _with_model(model, precision, run.settings.runtime, wanted, path)
    # Models have most lines about devices in common.
    return [*dict.fromkeys(findings)]


def missing_bytes(run: Run) -> int:
    """Bytes that a run still has to write: the estimate minus the files that exist."""
    there = sum(path.stat().st_size for path in Path(RESULTS).rglob("*") if path.is_file())
    return max(
        0, estimate_run(run.settings, run.bundles, INDEXES).needed_bytes(run.settings) - there
    )


def _models_in_use(run: Run) -> list[tuple[Model, str]]:
    """Each model with each precision that an extraction uses."""
    pairs = {
        (run.model_keys[name], extraction.precision): extraction.model
        for name, extraction in run.settings.extractions.items()
    }
    return [(model, precision) for (_, precision), model in pairs.items()]


def _software() -> list[Finding]:
    gpu = has_driver() or installed("torch") == read_pins(gpu=True)[1]["torch"]
    return [python_finding(), *package_findings(gpu)]


def _memory(size: int, precision: str) -> Finding:
    """The memory for the weights. They are mapped from the disk, not read at once."""
    import torch

    if torch.cuda.is_available():
        return gpu_memory_finding(size, precision)
    return memory_finding(2 * size)  # float32 on a CPU


def _with_model(
    model: Model, precision: str, runtime: Runtime, gpus: int, weights: Path
) -> list[Finding]:
    """Checks that depend on the model: devices, memory, and its loss on a GPU with real weights."""
    findings = device_findings(runtime.device, precision, gpus, runtime.kernels)
    if not failed(findings):
        findings.append(import_finding())
        findings.append(_memory(weight_bytes(model.name, weights), precision))
    if failed(findings) or model.name == TINY or not weights.is_file():
        return findings
    if any(finding.what == "GPU memory" for finding in findings):
        findings.append(loss_finding(model.name, weights, precision))
    return findings


def _read_config(path: str) -> tuple[Run, list[Finding]]:
    """The run of a configuration, and the errors in the configuration."""
    try:
        return plan_run(read_yaml(path), limited=False), [ok("config", path)]
    except InputError as error:
        lines = str(error).split("\n")
        found = [fail("config", f"{path}: {line.removeprefix(f'{path}: ')}") for line in lines]
    bundled = Extraction(model=Model(), layers=[])
    return Run(Settings(genomes=path, extractions={"default": bundled}), {}), found
