"""The settings of an extraction's fusions: completed, and checked when a run starts."""

from pathlib import Path

from evo2_embed.analysis.fusion.shape import fused_width, method_of
from evo2_embed.genomes.sheet_files import NOT_LITERAL, is_literal
from evo2_embed.io.errors import InputError
from evo2_embed.model.presets import expand_layers
from evo2_embed.model.registry import layer_widths
from evo2_embed.settings.extraction import SCORES, Extraction, Fusion
from evo2_embed.settings.settings import Settings

# Folder of the parameters that this run fits.
FUSIONS = "results/fusions"
# The file beside the datasets, whose name no fusion can have.
_TAKEN = "manifest"


def fusion_faults(where: str, extraction: Extraction, settings: Settings) -> list[str]:
    """Faults in the fusions of an extraction, one line per fault.

    Parameters
    ----------
    where : str
        The extraction, as a message names it.
    extraction : Extraction
        Complete settings; the model has its layers.
    settings : Settings
        Complete settings.
    """
    faults = []
    for name, fusion in extraction.fusion.items():
        here = f"{where}.fusion.{name}"
        scored = any(each.scores for each in settings.extractions.values())
        faults += _name_faults(here, name, extraction, scored)
        wrong = _layer_faults(here, fusion, extraction)
        faults += wrong or _width_faults(here, fusion, extraction)
        faults += _weight_faults(here, fusion, settings, None if wrong else len(fusion.layers))
        faults += _parameter_faults(here, fusion.parameters)
        if fusion.strands != "keep" and settings.windows.strands != "both":
            faults.append(
                f"{here}: strands: {fusion.strands} needs both strands of every window "
                "(allowed: keep, or windows.strands: both)"
            )
    return faults


def _name_faults(here: str, name: str, extraction: Extraction, scored: bool) -> list[str]:
    taken = {_TAKEN: "the manifest's"} | ({SCORES: "the scores'"} if scored else {})
    if name not in taken and name not in layer_widths(extraction.model.name):
        return []
    what = taken.get(name, "a layer's")
    return [f"{here}: the name '{name}' is {what} (allowed: any other)"]


def _layer_faults(here: str, fusion: Fusion, extraction: Extraction) -> list[str]:
    allowed = extraction.layers
    try:
        layers = expand_layers(fusion.layers, extraction.model.name)
    except InputError as error:
        return [f"{here}: layers: {error}"]
    return [
        f"{here}: layers: '{layer}' is not a layer of this extraction "
        f"(allowed: {', '.join(allowed)})"
        for layer in layers
        if layer not in allowed
    ]


def _width_faults(here: str, fusion: Fusion, extraction: Extraction) -> list[str]:
    known = layer_widths(extraction.model.name)
    widths = [known[layer] for layer in fusion.layers]
    method = method_of(fusion.method)
    if method in ("mean", "weighted") and len(set(widths)) > 1:
        shown = ", ".join(f"{layer} {known[layer]}" for layer in fusion.layers)
        return [
            f"{here}: method: {method} needs layers with the same number of dimensions, and these "
            f"have: {shown} (allowed: concat, {{pca: k}}, or other layers)"
        ]
    if method == "pca" and fused_width(fusion.method, widths) > sum(widths):
        return [
            f"{here}: method: pca: {fusion.method['pca']} is more than the dimensions of the "
            f"layers (allowed: 1 to {sum(widths)})"
        ]
    return []


def _weight_faults(
    here: str, fusion: Fusion, settings: Settings, n_layers: int | None
) -> list[str]:
    weights, method = fusion.weights, method_of(fusion.method)
    if weights is None:
        missing = method == "weighted" and fusion.parameters is None
        line = (
            f"{here}: weights: missing for method weighted (allowed: one number per layer, or "
            "probe)"
        )
        return [line] if missing else []
    if method != "weighted":
        return [f"{here}: weights: {method} has none (allowed: null, or method: weighted)"]
    if fusion.parameters is not None:
        return [f"{here}: weights: the file of parameters has the weights (allowed: null)"]
    if weights == "probe":
        line = f"{here}: weights: probe needs labels to learn from (allowed with the section probe)"
        return [line] if settings.probe is None else []
    if n_layers is not None and len(weights) != n_layers:
        return [
            f"{here}: weights: {len(weights)} numbers for {n_layers} layers "
            "(allowed: one number per layer)"
        ]
    if not sum(weights):
        return [f"{here}: weights: all are 0 (allowed: at least one above 0)"]
    return []


def _parameter_faults(here: str, path: str | None) -> list[str]:
    if path is None:
        return []
    if not Path(path).is_file():
        return [f"{here}: parameters: no such file '{path}'"]
    if not is_literal(path):
        return [f"{here}: parameters: '{path}': {NOT_LITERAL}"]
    if Path(path).resolve().is_relative_to(Path(FUSIONS).resolve()):
        return [
            f"{here}: parameters: this run would overwrite '{path}' (allowed: a file in another "
            f"folder than {FUSIONS})"
        ]
    return []
