"""The loss on the prompts in the `evo2` package, compared with its published values.

Prompts, values and tolerance come from the installed package: `evo2/test/data/prompts.csv`, and the
table in `evo2/test/test_evo2.py`, which is read but not run.
"""

import ast
import csv
from pathlib import Path

from evo2_embed.doctor.findings import Finding, fail, ok, warn
from evo2_embed.model.registry import package_folder

# A larger difference does not come from precision. Random weights have a loss near ln 4 = 1.4.
NEAR = 0.01


def published(folder: Path | None = None) -> tuple[dict[str, dict[str, float]], float]:
    """By model, the published `loss` (nats per token) and `acc` (percent); and the tolerance.

    Empty if the package does not have the table.
    """
    path = (folder or package_folder() / "test") / "test_evo2.py"
    found = {}
    tree = ast.parse(path.read_text(encoding="utf-8")) if path.is_file() else ast.Module([], [])
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            if name in ("expected_metrics", "eps"):
                found[name] = ast.literal_eval(node.value)
    return found.get("expected_metrics", {}), found.get("eps", 1e-3)


def read_prompts(folder: Path | None = None) -> list[str]:
    """The sequences of the package's prompts."""
    path = (folder or package_folder() / "test") / "data" / "prompts.csv"
    with open(path, encoding="utf-8-sig", newline="") as handle:
        return [row["Sequence"] for row in csv.DictReader(handle)]


def mean_loss(evo2, prompts: list[str]) -> tuple[float, float]:
    """Mean over prompts of the loss (nats per token) and the accuracy (percent) of the next token.

    In the model's own precision, as the published values were computed.
    """
    import torch

    device = next(evo2.model.parameters()).device
    losses, hits = [], []
    for prompt in prompts:
        ids = torch.tensor(evo2.tokenizer.tokenize(prompt), dtype=torch.long, device=device)  # (T,)
        (logits, _), _ = evo2.forward(ids[None])  # (1, T, vocabulary)
        ahead = logits[0, :-1]
        losses.append(torch.nn.functional.cross_entropy(ahead, ids[1:].to(ahead.device)).item())
        hits.append((ahead.argmax(-1) == ids[1:].to(ahead.device)).float().mean().item())
    return sum(losses) / len(losses), 100 * sum(hits) / len(hits)


def loss_finding(
    name: str, checkpoint: Path, precision: str, folder: Path | None = None
) -> Finding:
    """Load a model and compare its loss with the published loss. Takes minutes for a large model.

    Parameters
    ----------
    name : str
        A name of `registry.model_names()`.
    checkpoint : Path
        Its weights.
    precision : {"fp32", "bf16", "fp8"}
    folder : Path, optional
        Used instead of the package's folder `test`.
    """
    from evo2_embed.model.loading import load_model

    table, tolerance = published(folder)
    what = f"loss of {name}"
    if name not in table:
        return ok(what, "evo2 publishes no loss for this model")
    loss, accuracy = mean_loss(load_model(name, checkpoint, precision), read_prompts(folder))
    wanted = table[name]
    text = (
        f"{loss:.4f} in {precision} (published: {wanted['loss']:.4f}), "
        f"accuracy {accuracy:.2f} % ({wanted['acc']:.2f} %)"
    )
    off = abs(loss - wanted["loss"])
    if off < tolerance:
        return ok(what, text)
    if off < NEAR:
        return warn(what, f"{text}: close, but not within {tolerance:g}")
    return fail(what, f"{text}: check weights, GPU and packages")
