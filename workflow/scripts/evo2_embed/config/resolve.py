"""Configuration: checked against its schema, filled with defaults, and checked across its keys.

Everything a user can get wrong is found here, before any job, and all at once, a line a fault.
"""

import copy
from pathlib import Path

from evo2_embed.analysis.fusion.faults import complete_fusions, fusion_faults
from evo2_embed.analysis.probes.labels import probe_faults
from evo2_embed.config.context import context_faults, model_fault
from evo2_embed.config.schema import hint, schema_faults, with_defaults
from evo2_embed.finetune.settings import complete_finetune, finetune_faults
from evo2_embed.genomes.sample_sheet import NOT_LITERAL, Genome, file_faults, is_literal, read_sheet
from evo2_embed.io.errors import InputError
from evo2_embed.model import models
from evo2_embed.model.presets import expand_layers
from evo2_embed.settings.sections import Probe


def resolve(config: dict) -> tuple[dict, list[Genome]]:
    """Check a configuration and its sheet, and fill in every default.

    Parameters
    ----------
    config : dict
        As read from `config.yaml`.

    Returns
    -------
    settings : dict
        The configuration with every key present; each extraction has its model.
    genomes : list of Genome
        The rows of the sheet.

    Raises
    ------
    InputError
        One line for every fault.
    """
    faults = schema_faults(config)
    if faults:
        raise InputError("\n".join(faults + _faults_beside(config)))
    settings = with_defaults(copy.deepcopy(config))
    settings["windows"]["stride"] = settings["windows"]["stride"] or settings["windows"]["size"]
    settings["packing"]["piece"] = settings["packing"]["piece"] or settings["packing"]["max_tokens"]
    complete_finetune(settings)
    genomes, faults = _check_sheet(settings["genomes"])
    faults += _window_faults(settings) + context_faults(settings) + finetune_faults(settings)
    for name, extraction in settings["extractions"].items():
        extraction.setdefault("model", settings["model"])
        faults += _extraction_faults(f"extractions.{name}", extraction, settings)
    faults += _check_probe(settings, [genome.name for genome in genomes])
    if faults:
        raise InputError("\n".join(faults))
    return settings, genomes


def _check_sheet(path: str) -> tuple[list[Genome], list[str]]:
    genomes, faults = read_sheet(path)
    return genomes, faults + file_faults(path, genomes)


def _check_probe(settings: dict, genomes: list[str]) -> list[str]:
    probe = settings["probe"]
    if probe is not None and probe["gap"] is None:
        probe["gap"] = settings["windows"]["size"]
    fusions = [name for e in settings["extractions"].values() for name in e["fusion"]]
    return probe_faults(probe and Probe.from_dict(probe), genomes, fusions)


def _faults_beside(config: dict) -> list[str]:
    """What is wrong beside the faults of the schema, where one can say so in spite of them: the
    sheet, and the layers of extractions that are whole themselves."""
    if not isinstance(config, dict):
        return []
    faults = []
    if isinstance(config.get("genomes"), str):
        faults += _check_sheet(config["genomes"])[1]
    extractions = config.get("extractions")
    for name, extraction in extractions.items() if isinstance(extractions, dict) else ():
        alone = {
            "genomes": "-",
            "model": config.get("model", {}),
            "extractions": {name: extraction},
        }
        if not schema_faults(alone):
            alone = with_defaults(copy.deepcopy(alone))
            complete = {"model": alone["model"], **alone["extractions"][name]}
            faults += _model_faults(f"extractions.{name}", complete)
    return faults


def _window_faults(settings: dict) -> list[str]:
    windows, faults = settings["windows"], []
    if windows["min_length"] > windows["size"]:
        faults.append(
            f"windows.min_length: {windows['min_length']} is more than windows.size "
            f"({windows['size']}), so every window would be skipped"
        )
    return faults


def _extraction_faults(where: str, extraction: dict, settings: dict) -> list[str]:
    faults = _model_faults(where, extraction)
    name = extraction["model"]["name"]
    if name not in models.model_names():
        return faults
    # Of layers that are not known, nothing can be said.
    if not faults:
        complete_fusions(extraction)
        faults = fusion_faults(where, extraction, settings)
    fault = model_fault(where, name, settings)
    faults += [fault] if fault else []
    faults += _precision_faults(where, name, extraction["precision"], settings["runtime"]["device"])
    pooling = extraction["pooling"]
    if isinstance(pooling, dict) and pooling["bin"] > settings["windows"]["size"]:
        faults.append(
            f"{where}: pooling.bin: {pooling['bin']} is more than windows.size "
            f"(allowed: 1 to {settings['windows']['size']})"
        )
    return faults


def _model_faults(where: str, extraction: dict) -> list[str]:
    name, checkpoint = extraction["model"]["name"], extraction["model"]["checkpoint"]
    if name not in models.model_names():
        return [
            f"{where}: model.name: '{name}' is not known ({hint(name, list(models.model_names()))})"
        ]
    faults = []
    if checkpoint is not None and not Path(checkpoint).is_file():
        faults.append(f"{where}: model.checkpoint: no such file '{checkpoint}'")
    elif checkpoint is not None and not is_literal(checkpoint):
        faults.append(f"{where}: model.checkpoint: '{checkpoint}': {NOT_LITERAL}")
    try:
        extraction["layers"] = expand_layers(extraction["layers"], name)
    except InputError as error:
        return [*faults, f"{where}: layers: {error}"]
    for layer in extraction["layers"]:
        fault = models.layer_fault(name, layer)
        faults += [f"{where}: layers: '{layer}' does not exist ({fault})"] if fault else []
    return faults


def _precision_faults(where: str, name: str, precision: str, device: str) -> list[str]:
    allowed = models.precisions(name)
    if precision not in allowed:
        return [
            f"{where}: precision: {precision} is not allowed for {name} "
            f"(allowed: {', '.join(allowed)})"
        ]
    if device == "cpu" and precision != "fp32":
        return [f"{where}: precision: {precision} needs a GPU (allowed on a CPU: fp32)"]
    return []
