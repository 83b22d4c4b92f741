"""Which checks are for whom: a job that is about to start, a run, and a person who asks."""

from pathlib import Path

import yaml

from evo2_embed.doctor.devices import device_findings, gpu_memory_finding, has_driver
from evo2_embed.doctor.findings import Finding, fault, faults, fine, log_and_stop, remark
from evo2_embed.doctor.prompts import loss_finding
from evo2_embed.doctor.software import (
    import_finding,
    installed,
    package_findings,
    python_finding,
)
from evo2_embed.doctor.storage import (
    disk_finding,
    memory_finding,
    temporary_finding,
    weight_bytes,
    weights_finding,
    weights_path,
)
from evo2_embed.embed.gpus import GpusTakenError, claim_gpus, visible_gpus
from evo2_embed.io.errors import InputError
from evo2_embed.io.files import read_json
from evo2_embed.model.models import TINY
from evo2_embed.plan.estimate import estimate_run
from evo2_embed.run.frozen import INDEXES, Run, plan_run

RESULTS = "results"


def check_job(extraction: dict, record: str, device: str, gpus: int) -> None:
    """See that this process is fit to embed, a line each in the log.

    Takes well under a second beyond the imports that the job needs anyway. To be called after
    `gpus.claim_gpus`.

    Parameters
    ----------
    extraction : dict
        `model` and `precision` of it are used.
    record : str
        What `checkpoint.fetch_model` wrote.
    device : {"auto", "cpu", "cuda"}
    gpus : int
        How many GPUs the job asked for.

    Raises
    ------
    InputError
        In one line, all that is at fault.
    """
    log_and_stop(_software())  # before torch is imported
    precision = extraction["precision"]
    log_and_stop(device_findings(device, precision, gpus))
    log_and_stop([import_finding(), temporary_finding()])
    size = weight_bytes(extraction["model"]["name"], Path(read_json(record)["path"]))
    log_and_stop([_memory(size, precision)])


def check_run(model: dict, directory: str, run: Run) -> list[Finding]:
    """What can be said of a run without a GPU: software, weights, disk. A line each in the log.

    Parameters
    ----------
    model : dict
        `name` and `checkpoint`.
    directory : str
        Where fetched checkpoints are kept.
    run : Run
        What is to be written.

    Raises
    ------
    InputError
        In one line, all that is at fault.
    """
    findings = [
        *_software(),
        weights_finding(model, directory),
        disk_finding(RESULTS, missing_bytes(run)),
        temporary_finding(),
    ]
    log_and_stop(findings)
    return findings


def check_machine(config: str, gpus: int = 1) -> list[Finding]:
    """All of it, for a person: this machine, for what a configuration asks of it.

    A configuration with faults, or none, is a fault among others; the bundled model stands in for
    its models. Weights are read whole and compared with what earlier runs noted; where they are
    real and there is a GPU, the model is loaded for its loss. GPUs that jobs have are left alone.

    Parameters
    ----------
    config : str
        Path of the configuration.
    gpus : int
        How many an embedding job is to have.
    """
    run, findings = _read_config(config)
    software = _software()
    missing = None if faults(findings) else missing_bytes(run)
    findings += [*software, disk_finding(RESULTS, missing), temporary_finding()]
    directory, device = run.settings["model_directory"], run.settings["runtime"]["device"]
    for key, model in run.models.items():
        findings.append(weights_finding(model, directory, f"{RESULTS}/models/{key}.json"))
    if faults(software):
        return findings
    wanted = 0 if device == "cpu" else gpus
    visible = visible_gpus()
    try:
        claim_gpus(wanted, wait=False)
    except GpusTakenError as error:
        return [*findings, remark("GPU", f"{error}: they were not looked at")]
    except InputError as error:
        return [*findings, fault("GPU", str(error))]
    if wanted and len(visible) > wanted:
        jobs = len(visible) // wanted
        text = f"{len(visible)}: {jobs} jobs at once with --resources gpu={jobs * wanted}"
        findings.append(fine("GPUs", text))
    for model, precision in _models_in_use(run):
        path = weights_path(model, directory)
        findings += _with_model(model, precision, device, wanted, path)
    # Models share most lines about devices.
    return [*dict.fromkeys(findings)]


def missing_bytes(run: Run) -> int:
    """What a run has yet to write: what it is estimated to take, without what is there."""
    there = sum(path.stat().st_size for path in Path(RESULTS).rglob("*") if path.is_file())
    return max(0, estimate_run(run.settings, run.bundles, INDEXES).bytes - there)


def _models_in_use(run: Run) -> list[tuple[dict, str]]:
    """Every model with every precision that an extraction runs it in."""
    pairs = {
        (run.model_keys[name], extraction["precision"]): extraction["model"]
        for name, extraction in run.settings["extractions"].items()
    }
    return [(model, precision) for (_, precision), model in pairs.items()]


def _software() -> list[Finding]:
    gpu = has_driver() or installed("flash-attn") is not None
    return [python_finding(), *package_findings(gpu)]


def _memory(size: int, precision: str) -> Finding:
    """The memory that the weights end up in: they are mapped from the disk, not read at once."""
    import torch

    if torch.cuda.is_available():
        return gpu_memory_finding(size, precision)
    return memory_finding(2 * size)  # float32 there


def _with_model(
    model: dict, precision: str, device: str, gpus: int, weights: Path
) -> list[Finding]:
    """What depends on the model: devices, memory and, with real weights on a GPU, its loss."""
    findings = device_findings(device, precision, gpus)
    if not faults(findings):
        findings.append(import_finding())
        findings.append(_memory(weight_bytes(model["name"], weights), precision))
    if faults(findings) or model["name"] == TINY or not weights.is_file():
        return findings
    if any(finding.what == "GPU memory" for finding in findings):
        findings.append(loss_finding(model["name"], weights, precision))
    return findings


def _read_config(path: str) -> tuple[Run, list[Finding]]:
    """The run that a configuration describes, and what is wrong with it."""
    try:
        config = yaml.safe_load(Path(path).read_text())
        return plan_run(config, limited=False), [fine("config", path)]
    except (OSError, yaml.YAMLError) as error:
        found = [fault("config", f"{path}: cannot be read ({' '.join(str(error).split())})")]
    except InputError as error:
        found = [fault("config", f"{path}: {line}") for line in str(error).split("\n")]
    model = {"name": TINY, "checkpoint": None}
    settings = {
        "model_directory": "models",
        "runtime": {"device": "auto"},
        "extractions": {"default": {"model": model, "precision": "fp32"}},
    }
    return Run(settings, {}), found
