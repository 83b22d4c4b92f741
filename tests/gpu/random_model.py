"""A model of true shapes with random weights, made on the device."""

from unittest.mock import patch

import torch
from evo2_embed.model import registry
from evo2_embed.model.loading import load_model
from random_weights import make_state


def load_random_model(name: str, precision: str, device: str):
    """As `load_model`, with random weights for a checkpoint."""
    state = make_state(registry.model_config(name), device=device)
    with patch.object(torch, "load", lambda *_, **__: state):
        return load_model(name, "random weights", precision)
