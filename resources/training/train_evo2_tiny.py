"""Train the bundled model: `python resources/training/train_evo2_tiny.py GENOMES [--output FILE]`.

GENOMES is the folder with the files of genomes.yaml. The modules are vortex's own, so the result is
an ordinary checkpoint. Weights are rounded to bfloat16, as in real checkpoints, and the last logged
loss is that of the rounded weights. With two threads and a fixed seed, the same machine gives the
same weights again.
"""

import argparse
import math
import sys
import time
from pathlib import Path

import numpy as np
import torch
from torch.nn.utils import parametrize

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "workflow" / "scripts"))

from corpus import Corpus, draw_windows, load_corpus  # noqa: E402
from evo2_embed.model.import_evo2 import import_evo2  # noqa: E402
from evo2_embed.model.loading import build_model  # noqa: E402
from evo2_embed.model.registry import TINY, bundled_checkpoint, model_config  # noqa: E402
from random_weights import is_exact, make_state  # noqa: E402

SEED = 5
STEPS = 1600
BATCH, LENGTH = 8, 1024  # windows per step, and tokens per window
WARM_UP, COOL_DOWN = 0.02, 0.6  # shares of the steps
RATE = 3e-3
LOG_EVERY = 25
# The embedding also computes the logits, which would be too large at its full scale.
EMBEDDING_SCALE = 0.02


class _NegativeExponential(torch.nn.Module):
    """Log-poles as minus the exponential of a free parameter, so that they stay negative."""

    def forward(self, free: torch.Tensor) -> torch.Tensor:
        return -free.exp()

    def right_inverse(self, value: torch.Tensor) -> torch.Tensor:
        return (-value).log()


class _PerMode(torch.nn.Module):
    """Residues as the sum of a mode over time, which does not depend on its decay."""

    def __init__(self, log_poles: torch.Tensor):
        super().__init__()
        self.register_buffer("rate", -torch.expm1(log_poles.detach().squeeze(-1)))

    def forward(self, free: torch.Tensor) -> torch.Tensor:
        return free * self.rate

    def right_inverse(self, value: torch.Tensor) -> torch.Tensor:
        return value / self.rate


def make_model(seed: int) -> torch.nn.Module:
    """A trainable StripedHyena in float32."""
    evo2_models = import_evo2()
    config = model_config(TINY)
    settings = evo2_models.dotdict(config | {"use_flash_attn": False})
    model = evo2_models.StripedHyena(settings).float()
    state = make_state(config, seed)
    state["embedding_layer.weight"] *= EMBEDDING_SCALE
    model.load_state_dict(state)
    for block in model.blocks:
        if hasattr(getattr(block, "filter", None), "log_poles"):
            filter_ = block.filter
            parametrize.register_parametrization(filter_, "residues", _PerMode(filter_.log_poles))
            parametrize.register_parametrization(filter_, "log_poles", _NegativeExponential())
    return model.train().requires_grad_(True)


def next_base_loss(model: torch.nn.Module, windows: np.ndarray) -> torch.Tensor:
    """Mean cross entropy, in nats, of the bases of windows (B, L + 1) after the first."""
    ids = torch.from_numpy(windows.astype(np.int64))
    logits, _ = model(ids[:, :-1])
    return torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten())


def train(model: torch.nn.Module, corpus: Corpus, steps: int, log) -> None:
    """Run the steps, and log bits per base."""
    optimizer = torch.optim.AdamW(model.parameters(), RATE, betas=(0.9, 0.98), weight_decay=0)
    rng, bits, started = np.random.default_rng(SEED), [], time.monotonic()
    for step in range(1, steps + 1):
        share = step / steps
        factor = min(1, share / WARM_UP, (1 - share) / COOL_DOWN + 1e-3)
        optimizer.param_groups[0]["lr"] = RATE * factor
        loss = next_base_loss(model, draw_windows(corpus, BATCH, LENGTH + 1, rng))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        bits.append(loss.item() / math.log(2))
        if step % LOG_EVERY == 0 or step == steps:
            speed = step * BATCH * LENGTH / (time.monotonic() - started)
            log(f"step {step}: {np.mean(bits):.4f} bits per base, {speed:,.0f} tokens/s")
            bits.clear()


@torch.no_grad()
def held_out_bits(model: torch.nn.Module, tokens: np.ndarray, length: int = LENGTH) -> float:
    """Bits per base of a sequence in consecutive windows of `length` bases after a first base."""
    starts = range(0, len(tokens) - length, length)
    windows = np.stack([tokens[start : start + length + 1] for start in starts])
    parts = np.array_split(windows, -(-len(windows) // BATCH))
    losses = [next_base_loss(model, part).item() * len(part) for part in parts]
    return sum(losses) / len(windows) / math.log(2)


def checkpoint_state(model: torch.nn.Module) -> dict[str, torch.Tensor]:
    """The state dict to save: parametrizations resolved, `Wqkv` as in a checkpoint, rounded."""
    for module in model.modules():
        for name in list(getattr(module, "parametrizations", ())):
            parametrize.remove_parametrizations(module, name)
    heads = model.config.num_attention_heads
    state = {}
    for name, value in model.state_dict().items():
        value = value.detach().clone()
        if name.endswith(
            "Wqkv.weight"
        ):  # loading reorders (heads, 3, head) rows to (3, heads, head)
            value = value.unflatten(0, (3, heads, -1)).transpose(0, 1).flatten(0, 2)
        state[name] = value if is_exact(name) else value.to(torch.bfloat16)
    return state


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("genomes", type=Path)
    parser.add_argument("--output", type=Path, default=bundled_checkpoint())
    parser.add_argument("--log", type=Path, default=HERE / "train.log")
    parser.add_argument("--steps", type=int, default=STEPS)
    options = parser.parse_args(arguments)
    torch.set_num_threads(2)
    torch.manual_seed(SEED)
    corpus = load_corpus(options.genomes)
    model = make_model(SEED)
    with open(options.log, "w", buffering=1) as handle:

        def log(line: str) -> None:
            print(line, flush=True)
            handle.write(line + "\n")

        train(model, corpus, options.steps, log)
        for name, tokens in corpus.held_out.items():
            log(f"held out, {name}: {held_out_bits(model, tokens):.4f} bits per base")
        torch.save(checkpoint_state(model), options.output)
        loaded = build_model(model_config(TINY), options.output, "fp32", TINY).model
        for name, tokens in corpus.held_out.items():
            log(f"held out, {name}, as loaded: {held_out_bits(loaded, tokens):.4f} bits per base")


if __name__ == "__main__":
    main()
