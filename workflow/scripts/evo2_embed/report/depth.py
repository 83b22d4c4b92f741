"""Layers in the order of the forward pass."""

from collections.abc import Iterable

from evo2_embed.model.registry import layer_widths


def by_order(names: Iterable[str], model: str) -> list[str]:
    """Names of layers from the first to the last of a model; others follow in their own order."""
    place = {layer: number for number, layer in enumerate(layer_widths(model))}
    return sorted(names, key=lambda name: place.get(name, len(place)))
