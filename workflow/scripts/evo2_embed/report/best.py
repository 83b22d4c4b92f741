"""The best layer of an extraction, and why: the first thing that the summary and the page say."""

from dataclasses import dataclass

from evo2_embed.io.text import shown, wrapped
from evo2_embed.model.presets import recommended_layers
from evo2_embed.report.probes import verdict
from evo2_embed.report.summary import Result


@dataclass(frozen=True)
class Best:
    """A layer, or a fusion, of an extraction.

    Attributes
    ----------
    layer : str
    why : str
        One or two sentences that name the layer.
    """

    layer: str
    why: str


def best_layer(result: Result, compared: dict | None, probed: dict | None) -> Best | None:
    """The best layer, by the labels, else by the comparison without labels, else by its name.

    Without labels, a layer whose rows are alike (`compare.layers.ALIKE`) is chosen only if those of
    all layers are.

    Parameters
    ----------
    result : Result
    compared : dict, optional
        Written by `compare.layers.compare_layers`.
    probed : dict, optional
        Written by `probes.extraction.probe_extraction`.

    Returns
    -------
    Best or None
        None if the extraction has no layers.
    """
    names = list(result.datasets)
    if not names:
        return None
    measures = compared["layers"] if compared else {}
    alike = {name for name, measured in measures.items() if measured["alike"]}
    if probed:
        return _by_labels(probed, alike)
    if len(names) == 1:
        return Best(names[0], f"{names[0]} is the only layer.")
    if measures:
        return _without_labels(measures, alike)
    return _by_name(names, result.manifest["model"])


def summary_line(name: str, best: Best) -> str:
    """The best layer of an extraction for the summary."""
    return wrapped(f"best layer of {shown(name)}: {best.why}")


def _by_labels(probed: dict, alike: set[str]) -> Best:
    best = probed["best"]
    remark = " Its rows are alike: subtract the mean before comparing cosines."
    return Best(best, verdict(probed) + (remark if best in alike else ""))


def _without_labels(measures: dict, alike: set[str]) -> Best:
    ranks = {name: measured["effective_rank"] or 0.0 for name, measured in measures.items()}
    usable = [name for name in ranks if name not in alike] or list(ranks)
    layer = max(usable, key=ranks.get)
    among = "of all layers" if len(usable) == len(ranks) else "of the layers whose rows differ"
    why = (
        f"{layer} has the largest effective rank {among} ({ranks[layer]:.1f}). "
        "This is a guess without labels."
    )
    return Best(layer, why)


def _by_name(names: list[str], model: str) -> Best:
    for entry in recommended_layers().get(model, []):
        if entry["layer"] in names:
            said = f"{entry['layer']} is recommended for {entry['task']}"
            return Best(entry["layer"], f"{said}. The layers were not compared.")
    return Best(names[0], f"{names[0]} is the first layer. The layers were not compared.")
