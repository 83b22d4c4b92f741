"""Faults across the keys of complete settings, one line each; nothing is changed here."""

from pathlib import Path

from evo2_embed.analysis.fusion.faults import fusion_faults
from evo2_embed.analysis.heads.faults import head_faults
from evo2_embed.analysis.probes.labels import probe_faults
from evo2_embed.config.context import context_faults, model_fault
from evo2_embed.config.schema import hint
from evo2_embed.engine.kernels.interpreted import is_interpreted
from evo2_embed.genomes.sheet_files import NOT_LITERAL, future_fault, is_literal, remote_fault
from evo2_embed.io.errors import InputError
from evo2_embed.io.remote import address_of, is_remote
from evo2_embed.io.text import is_printable, shown
from evo2_embed.model import registry
from evo2_embed.model.presets import expand_layers
from evo2_embed.settings.extraction import Extraction
from evo2_embed.settings.settings import Settings
from evo2_embed.settings.windows import RegionSettings, Windows


def settings_faults(settings: Settings, genomes: list[str], is_tiled: bool = True) -> list[str]:
    """All faults of complete settings, for a sheet with these genomes.

    Parameters
    ----------
    settings : Settings
    genomes : list of str
    is_tiled : bool
        Whether any sequence is cut into windows; if not, all rows are regions.
    """
    faults = context_faults(settings) + _finetune_faults(settings)
    faults += _region_faults(settings.regions)
    if is_tiled:
        faults += _window_faults(settings)
    for name, extraction in settings.extractions.items():
        faults += _extraction_faults(f"extractions.{name}", extraction, settings)
        faults += _twins(f"extractions.{name}.fusion", list(extraction.fusion))
        faults += _twins(f"extractions.{name}.heads", list(extraction.heads))
    faults += _twins("extractions", list(settings.extractions))
    if not is_printable(settings.model_directory):
        directory = shown(settings.model_directory)
        faults.append(f"model_directory: '{directory}': a path must not have control characters")
    fusions = [name for each in settings.extractions.values() for name in each.fusion]
    return faults + _runtime_faults(settings) + probe_faults(settings.probe, genomes, fusions)


def _twins(where: str, names: list[str]) -> list[str]:
    """Names that differ in case only: some file systems have one folder for both."""
    first: dict[str, str] = {}
    return [
        f"{where}: '{name}' and '{first[name.lower()]}' differ in upper and lower case only "
        "(rename one of them)"
        for name in names
        if first.setdefault(name.lower(), name) != name
    ]


def model_faults(where: str, extraction: Extraction) -> list[str]:
    """Faults of an extraction's model, its checkpoint and its layers."""
    name, checkpoint = extraction.model.name, extraction.model.checkpoint
    known = list(registry.model_names())
    if name not in known:
        return [f"{where}: model.name: '{shown(name)}' is not known ({hint(name, known)})"]
    faults = []
    if checkpoint is not None and is_remote(checkpoint):
        if fault := remote_fault(checkpoint):
            shown_as = address_of(checkpoint) or checkpoint
            faults.append(f"{where}: model.checkpoint: '{shown_as}': {fault}")
    elif checkpoint is not None and not Path(checkpoint).is_file():
        faults.append(f"{where}: model.checkpoint: no such file '{checkpoint}'")
    elif checkpoint is not None and not is_literal(checkpoint):
        faults.append(f"{where}: model.checkpoint: '{checkpoint}': {NOT_LITERAL}")
    elif checkpoint is not None and (future := future_fault(checkpoint)):
        faults.append(f"{where}: model.checkpoint: '{checkpoint}': {future}")
    try:
        layers = expand_layers(extraction.layers, name)
    except InputError as error:
        return [*faults, f"{where}: layers: {error}"]
    for layer in layers:
        fault = registry.layer_fault(name, layer)
        faults += [f"{where}: layers: '{layer}' does not exist ({fault})"] if fault else []
    return faults


def _window_faults(settings: Settings) -> list[str]:
    windows, faults = settings.windows, []
    if windows.min_length > windows.size:
        faults.append(
            f"windows.min_length: {windows.min_length} is more than windows.size "
            f"({windows.size}), so every window would be skipped"
        )
    span, least = windows.context.span, windows.context.min + windows.size
    if windows.has_spans and span < least:
        faults.append(
            f"windows.context.span: {span} is less than a window of {windows.size} bases and "
            f"its {windows.context.min} bases of windows.context.min (allowed: at least {least}, "
            "or size)"
        )
    for name, extraction in settings.extractions.items():
        faults += _pooling_faults(f"extractions.{name}", extraction, windows)
    return faults


def _region_faults(regions: RegionSettings) -> list[str]:
    if regions.rows == "region":
        return []
    keys = {"flank": regions.flank > 0, "splice": regions.splice}
    return [
        f"regions.{key}: needs regions.rows: region (rows is {regions.rows})"
        for key, wanted in keys.items()
        if wanted
    ]


def _runtime_faults(settings: Settings) -> list[str]:
    runtime = settings.runtime
    if runtime.kernels != "triton" or runtime.device != "cpu" or is_interpreted():
        return []
    return ["runtime.kernels: triton needs a GPU (allowed with device: cpu: auto, torch)"]


def _finetune_faults(settings: Settings) -> list[str]:
    section, size = settings.finetune, settings.windows.size
    if not settings.exports.finetune or section.split != "block" or section.block >= size:
        return []
    return [
        f"finetune.block: {section.block} is less than windows.size ({size}), so windows would "
        f"reach over whole blocks (allowed: at least {size}, or split: contig)"
    ]


def _extraction_faults(where: str, extraction: Extraction, settings: Settings) -> list[str]:
    faults = model_faults(where, extraction)
    name = extraction.model.name
    if name not in registry.model_names():
        return faults
    # Unknown layers cannot be checked further.
    faults = faults or fusion_faults(where, extraction, settings)
    faults = faults or head_faults(where, extraction, settings)
    fault = model_fault(where, name, settings)
    faults += [fault] if fault else []
    faults += _precision_faults(where, name, extraction.precision, settings.runtime.device)
    return faults + _score_faults(where, extraction, settings.windows.strands)


def _pooling_faults(where: str, extraction: Extraction, windows: Windows) -> list[str]:
    size = windows.size
    pooling = extraction.pooling if isinstance(extraction.pooling, dict) else {}
    faults = [
        f"{where}: pooling.{kind}: {bases} is more than windows.size (allowed: 1 to {size})"
        for kind, bases in pooling.items()
        if bases > size
    ]
    # The first window of a contig has no upstream context. Its middle ends before its end.
    last = size
    if "center" in pooling:
        left = (size - pooling["center"]) // 2  # on the forward strand
        last = size - left if windows.strands == "-" else left + pooling["center"]
    has_rows = extraction.bin and windows.has_spans  # of other windows
    if not faults and extraction.skip_first >= last and not has_rows:
        faults.append(
            f"{where}: skip_first: {extraction.skip_first} leaves nothing to pool of the first "
            f"window of a contig, which has windows.size ({size}) bases and no upstream context "
            f"(allowed: 0 to {last - 1}, or larger windows)"
        )
    return faults


def _score_faults(where: str, extraction: Extraction, strands: str) -> list[str]:
    faults = []
    if not extraction.outputs:
        faults.append(f"{where}.layers: [] leaves nothing to write (allowed with scores: true)")
    if not extraction.layers and (extraction.fusion or extraction.levels or extraction.heads):
        faults.append(f"{where}.layers: [] allows no fusion, no heads and no levels")
    if extraction.score_strands == "mean" and (strands != "both" or not extraction.scores):
        faults.append(
            f"{where}: score_strands: mean needs scores: true and both strands of every window "
            "(allowed: keep, or windows.strands: both)"
        )
    return faults


def _precision_faults(where: str, name: str, precision: str, device: str) -> list[str]:
    allowed = registry.precisions(name)
    if precision not in allowed:
        return [
            f"{where}: precision: {precision} is not allowed for {name} "
            f"(allowed: {', '.join(allowed)})"
        ]
    if device == "cpu" and precision != "fp32":
        return [f"{where}: precision: {precision} needs a GPU (allowed on a CPU: fp32)"]
    return []
