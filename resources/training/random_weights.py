"""Random weights for a StripedHyena of any settings: for the start of training, and for tests.

They are stable: the long filters decay (negative log-poles), weights are scaled to their fan-in,
and the output of a block is scaled down with depth.
"""

import math

import torch
from evo2_embed.model.import_evo2 import import_evo2

SEED = 3
# The first channel of the residual stream is equal in all tokens, and this many times the norm of
# all other channels. All projections of the Hyena blocks read it, so gates stay away from zero.
# Otherwise a product of three values of random sign has such long tails that the rounding of
# float32 is large compared with its mean.
STEADY = 1.5
SWAY = 0.1  # contribution of the other channels to a gate, relative to the first


def make_state(config: dict, seed: int = SEED, device: str = "cpu") -> dict[str, torch.Tensor]:
    """A state dict for a StripedHyena of these settings, as `load_checkpoint` takes it.

    Weights are bfloat16, as in real checkpoints, except the poles and residues of the long filters
    and the rotary frequencies (float32). Rows of `Wqkv` are in the order of a checkpoint,
    before `column_split` permutes them.
    """
    evo2_models = import_evo2()
    settings = evo2_models.dotdict(config) | {"use_flash_attn": False}
    settings["use_fp8_input_projections"] = False
    with torch.device("meta"):
        model = evo2_models.StripedHyena(evo2_models.dotdict(settings))
    generator = torch.Generator(device).manual_seed(seed)
    depth = 1 / math.sqrt(2 * config["num_layers"])
    state = {}
    for name, value in model.state_dict().items():
        with torch.device(device):
            value = _initial(name, value.shape, depth, config, generator)
        state[name] = value if is_exact(name) else value.to(torch.bfloat16)
    for name in [name for name in state if name.endswith("residues")]:
        # The filtered value of a constant input is then independent of the decay of a mode.
        state[name] *= -torch.expm1(state[name.replace("residues", "log_poles")][..., 0])
    return state


def is_exact(name: str) -> bool:
    """Whether a checkpoint has this parameter in float32."""
    return name.endswith(("log_poles", "residues", "inv_freq"))


def _initial(
    name: str, shape: torch.Size, depth: float, config: dict, generator: torch.Generator
) -> torch.Tensor:
    def normal(scale: float) -> torch.Tensor:
        return torch.randn(shape, generator=generator) * scale

    if name.endswith("inv_freq"):
        width = config["hidden_size"] // config["num_attention_heads"]
        return config["rotary_emb_base"] ** (-torch.arange(0, width, 2) / width)
    if name.endswith("log_poles"):
        # Half-lives spread evenly, on a log scale, from 2 to 4,096 tokens.
        half_life = 2 ** (1 + 11 * torch.rand(shape, generator=generator))
        return -math.log(2) / half_life
    if name.endswith("residues"):
        return normal(1 / math.sqrt(shape[-1]))
    if name.endswith("short_filter_weight"):
        return normal(0.2) + torch.eye(shape[-1])[-1]  # mainly the current token
    if name.endswith("filter.h"):
        value = normal(1 / math.sqrt(shape[-1]))
        if shape[-1] < 128:  # longer filters have D for the current token
            value[..., -1] += 1
        return value
    if name.endswith("scale"):
        return torch.ones(shape)
    if name.endswith("bias"):
        return torch.zeros(shape)
    if name.endswith("filter.D"):
        return 1 + normal(0.3)
    if name.startswith("embedding_layer"):
        value = normal(1.0)
        value[:, 0] = STEADY * math.sqrt(shape[-1])
        return value
    if name.endswith(("mlp.l3.weight", "out_filter_dense.weight", "out_proj.weight")):
        value = normal(depth / math.sqrt(shape[-1]))
        value[0] = 0
        return value
    if name.endswith("projections.weight"):
        value = normal(SWAY / math.sqrt(shape[-1]))
        value[:, 0] = 1 / math.sqrt(shape[-1])
        return value
    return normal(1 / math.sqrt(shape[-1]))
