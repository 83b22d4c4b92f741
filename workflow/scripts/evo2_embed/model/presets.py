"""Layers in a configuration, with presets, to names of modules."""

from pathlib import Path

import yaml

from evo2_embed.io.errors import InputError
from evo2_embed.model import registry

RECOMMENDED = registry.RESOURCES / "recommended_layers.yaml"


def expand_layers(layers: str | dict | list, name: str) -> list[str]:
    """Names of the requested layers, without duplicates.

    Parameters
    ----------
    layers : str, dict or list
        `all` (every block), `recommended`, `{every: k}` (every k-th block, counted back from the
        last one), or a list of these and of names; names are not checked here.
    name : str
        The model.

    Raises
    ------
    InputError
        If a preset has no layers for this model.
    """
    entries = layers if isinstance(layers, list) else [layers]
    names = [layer for entry in entries for layer in _expand(entry, name)]
    return list(dict.fromkeys(names))


def recommended_layers(path: Path = RECOMMENDED) -> dict[str, list[dict]]:
    """By model, the layers that others use: `layer`, `task` and `source` of each."""
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def _expand(entry: str | dict, name: str) -> list[str]:
    if isinstance(entry, dict) or entry == "all":
        step = 1 if entry == "all" else entry["every"]
        blocks = registry.model_config(name)["num_layers"]
        return [f"blocks.{index}" for index in range((blocks - 1) % step, blocks, step)]
    if entry == "recommended":
        known = recommended_layers()
        if name not in known:
            raise InputError(
                f"'recommended' has no layers for {name} (allowed for: {', '.join(known)}; "
                f"or name layers, all, or {{every: k}})"
            )
        return [line["layer"] for line in known[name]]
    return [entry]
