"""The settings of an extraction's heads, checked when a run starts; only headers are read."""

from pathlib import Path

from evo2_embed.analysis.fusion.shape import joined_width
from evo2_embed.analysis.heads.files import CLASS, HeadFile
from evo2_embed.analysis.heads.fits import misfits
from evo2_embed.genomes.sheet_files import NOT_LITERAL, is_literal
from evo2_embed.io.errors import InputError
from evo2_embed.io.text import shown, some_of
from evo2_embed.model.registry import layer_widths
from evo2_embed.settings.extraction import SCORES, Extraction, Head
from evo2_embed.settings.settings import Settings

# Folder of the probes that this run saves.
PROBES = "results/probes"
MOST_TRACKS = 100  # outputs that are drawn without being named


def head_faults(where: str, extraction: Extraction, settings: Settings) -> list[str]:
    """Faults in the heads of an extraction, one line per fault.

    Parameters
    ----------
    where : str
        The extraction, as a message names it.
    extraction : Extraction
        Complete settings without faults; the model has its layers.
    settings : Settings
        Complete settings.
    """
    faults = []
    for name, head in extraction.heads.items():
        here = f"{where}.heads.{name}"
        faults += _name_faults(here, name, extraction)
        width = source_width(extraction, head.layer)
        if width is None:
            allowed = ", ".join([*extraction.layers, *extraction.fusion])
            faults.append(
                f"{here}: layer: '{head.layer}' is not a layer or fusion of this extraction "
                f"(allowed: {allowed})"
            )
        elif head.file is None:
            faults += _probe_faults(here, head, settings)
        else:
            mine = _file_faults(here, head, extraction.model.name, width)
            faults += mine or _track_faults(here, head, settings)
    return faults


def source_width(extraction: Extraction, layer: str) -> int | None:
    """Dimensions of a layer or fusion of an extraction; None if it has no such layer."""
    widths = layer_widths(extraction.model.name)
    if layer in extraction.layers:
        return widths[layer]
    if layer not in extraction.fusion:
        return None
    fusion = extraction.fusion[layer]
    return joined_width(fusion.method, fusion.strands, [widths[each] for each in fusion.layers])


def _name_faults(here: str, name: str, extraction: Extraction) -> list[str]:
    taken = dict.fromkeys(layer_widths(extraction.model.name), "a layer's")
    taken |= {**dict.fromkeys(extraction.fusion, "a fusion's"), SCORES: "the scores'"}
    if name not in taken:
        return []
    return [f"{here}: the name '{name}' is {taken[name]} (allowed: any other)"]


def _probe_faults(here: str, head: Head, settings: Settings) -> list[str]:
    faults = []
    if settings.probe is None:
        faults.append(
            f"{here}: file: missing, and there is no probe of this run (allowed: a file, or the "
            "section probe)"
        )
    for key in ("k", "threshold"):
        if getattr(head, key) is not None:
            faults.append(f"{here}: {key}: is for sparse autoencoders (allowed: null for a probe)")
    return faults


def _file_faults(here: str, head: Head, model: str, width: int) -> list[str]:
    if not is_literal(head.file):
        return [f"{here}: file: '{head.file}': {NOT_LITERAL}"]
    if Path(head.file).resolve().is_relative_to(Path(PROBES).resolve()):
        return [
            f"{here}: file: this run would overwrite '{head.file}' (allowed: a file in another "
            f"folder than {PROBES}, or no file for the probe of this run)"
        ]
    try:
        file = HeadFile.open(head.file)
    except InputError as error:
        return [f"{here}: file: {error}"]
    faults = [f"{here}: file: {line}" for line in misfits(file, head.layer, width, model=model)]
    if file.kind == CLASS and head.k is not None:
        faults.append(f"{here}: k: {head.file} has classes (allowed: null)")
    elif head.k is not None and head.k > file.outputs:
        faults.append(
            f"{here}: k: {head.k} is more than the features of {head.file} (allowed: 1 to "
            f"{file.outputs})"
        )
    elif head.k is None and (head.threshold is not None or file.has_threshold):
        what = "threshold" if head.threshold is not None else "file: its array 'threshold'"
        faults.append(f"{here}: {what} is for sparse heads (allowed: with k)")
    return faults


def _track_faults(here: str, head: Head, settings: Settings) -> list[str]:
    """Tracks that are not outputs of a file without faults."""
    file = HeadFile.open(head.file)
    names = file.classes or [str(number) for number in range(file.outputs)]
    all_drawn = settings.exports.bigwig and head.is_drawn and head.tracks is None
    if all_drawn and len(names) > MOST_TRACKS:
        return [
            f"{here}: tracks: {head.file} has {len(names):,} outputs; more than {MOST_TRACKS} have "
            "to be named (allowed: a list of some, or [] for none)"
        ]
    return [
        f"{here}: tracks: '{shown(name)}' is not an output of {head.file} "
        f"(allowed: {some_of(list(names))})"
        for name in head.tracks or ()
        if str(name) not in names
    ]
