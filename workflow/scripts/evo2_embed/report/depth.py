"""Layers in the order of the forward pass."""

import re
from collections.abc import Iterable

from evo2_embed.model.registry import layer_widths


def by_order(names: Iterable[str], model: str) -> list[str]:
    """Names of layers from the first to the last of a model; others follow in their own order."""
    place = {layer: (number, 0) for number, layer in enumerate(layer_widths(model))}
    for layer, (number, _) in list(place.items()):
        # The output of a block comes after its parts.
        block = re.match(r"blocks\.\d+(?=\.)", layer)
        if block:
            place[block[0]] = (number, 1)
    return sorted(names, key=lambda name: place.get(name, (len(place), 0)))
