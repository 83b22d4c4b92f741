"""What the packed engine would cost on a GPU, counted without one: `make gpu-cost`.

The engine runs with fake tensors of the true shapes of the models (`fake_gpu.py`). The script
prints launches, bytes and FLOPs per kind of block, matrix products whose operands are not aligned,
and a predicted speed. The speed follows from the counts, the peak rates of the GPUs (`PEAKS`) and
the share of them that is assumed (`SHARES`). It is not a measurement.

Out: `resources/predicted_speeds.yaml`, which `make plan` reads.
"""

import argparse
import os
import sys
from pathlib import Path

from tabulate import tabulate

os.environ["TQDM_DISABLE"] = "1"  # of the stock model's modules, before tqdm is imported

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "workflow" / "scripts"), str(Path(__file__).parent)]

from evo2_embed.model import registry  # noqa: E402
from fake_gpu import count  # noqa: E402
from gpu_counts import ATTENTION, ELEMENTWISE, PRODUCT, Counts, Launch  # noqa: E402

PREDICTED = ROOT / "resources" / "predicted_speeds.yaml"
# Each stands for all models with its architecture and precision.
MODELS = {
    "evo2_1b_base": "fp8",
    "evo2_7b": "bf16",
    "evo2_7b_base": "bf16",
    "evo2_20b": "fp8",
    "evo2_40b": "fp8",
    "evo2_40b_base": "fp8",
}
LENGTHS = (8192, 32_768, 131_072)
PACK = 16_384  # tokens, unless a sequence is longer
# Packs that are searched for products that are not aligned.
IRREGULAR = ([8192, 8192], [8193], [8191, 8192], [1, 5, 100, 601], [333, 1250, 77, 4099, 64])

# Peak rates of the vendor: bytes per second, and FLOPs per second without sparsity. A product of
# float32 values on tensor cores is three products of TF32 values (tf32x3).
HOPPER = {"bf16": 989e12, "fp8": 1979e12, "fp32": 67e12, "tf32x3": 165e12}
PEAKS = {
    "A100 80GB": {"bytes": 2.04e12, "bf16": 312e12, "fp32": 19.5e12, "tf32x3": 52e12},
    "H100 80GB": {"bytes": 3.35e12, **HOPPER},
    "H200 141GB": {"bytes": 4.8e12, **HOPPER},
}
# Assumed shares of the peaks. Attention: of bf16, by the published speed of FlashAttention 2.
SHARES = {"bytes": 0.9, "bf16": 0.7, "fp8": 0.6, "fp32": 0.45, "tf32x3": 0.35, ATTENTION: 0.34}
MISALIGNED = 0.5  # assumed speed of a product that is not aligned, relative to an aligned one
LEAST = 2e-6  # seconds of the smallest kernel


def seconds(launch: Launch, gpu: str) -> float:
    """Predicted time of a launch: of its bytes or of its arithmetic, whichever takes longer."""
    peaks = PEAKS[gpu] | {ATTENTION: PEAKS[gpu]["bf16"]}
    rate = peaks[launch.arithmetic] * SHARES[launch.arithmetic]
    rate *= MISALIGNED if launch.misaligned else 1
    return max(LEAST, launch.bytes / (peaks["bytes"] * SHARES["bytes"]), launch.flops / rate)


def tokens_per_second(counts: Counts, gpu: str) -> float:
    """Predicted speed of a pack."""
    return counts.tokens / sum(seconds(launch, gpu) for launch in counts.all)


def gpus_of(precision: str) -> list[str]:
    """The GPUs that support a precision."""
    return [gpu for gpu, peaks in PEAKS.items() if precision in peaks]


def pack_of(length: int) -> list[int]:
    """Segments of one length that fill a pack."""
    return [length] * max(1, PACK // length)


def table(counts: Counts) -> str:
    """Counts per kind of block."""
    rows, arithmetic = [], ("bf16", "fp8", ATTENTION, "tf32x3", "fp32")
    for part, launches in counts.launches.items():
        number = counts.blocks.get(part, 1)
        kilobytes = [counts.bytes_of(part, kind) / 1e3 for kind in (ELEMENTWISE, PRODUCT)]
        flops = [counts.flops_of(part, kind) / 1e6 for kind in arithmetic]
        rows.append([part, number, len(launches) / number, *kilobytes, *flops])
    headers = ["block", "number", "launches", "KB of\nelement-\nwise", "products"]
    headers += [f"MFLOP\n{arithmetic[0]}", *arithmetic[1:]]
    return tabulate(rows, headers, floatfmt=("", "", ".1f", ".0f", ".0f", *[".2f"] * 5))


def misaligned(name: str, kernels: str, fp8: bool) -> list[str]:
    """Products of irregular packs that are not aligned: pack, product and operands."""
    found = {}
    for lengths in IRREGULAR:
        for launch in count(name, lengths, kernels, fp8).misaligned:
            found[f"{lengths}: {launch.name} ({', '.join(launch.misaligned)})"] = None
    return list(found)


def same_architecture(name: str) -> list[str]:
    """All models with the shapes and the precision of this one."""
    keys = ("hidden_size", "num_layers", "inner_mlp_size", "hcm_filter_groups")

    def shape(model: str) -> list:
        config = registry.model_config(model)
        return [config.get(key) for key in keys] + [registry.precisions(model)]

    return [model for model in registry.model_names() if shape(model) == shape(name)]


def entries(name: str, speeds: dict[str, dict[int, float]], kernels: str) -> list[str]:
    """Lines of the file of predictions for a model: speeds by GPU and length."""
    lines = []
    for gpu, timed in speeds.items():
        lines += [
            f"- models: [{', '.join(same_architecture(name))}]",
            f"  precision: {MODELS[name]}",
            f"  gpu: {gpu}",
            f"  code: packed engine, {kernels} kernels",
            "  source: make gpu-cost",
            "  timed:",
        ]
        for length, speed in timed.items():
            lines.append(f"    - {{tokens: {length}, seconds: {length / speed:.4f}}}")
    return lines


def main() -> None:
    """Print the tables and write the file of predictions."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--kernels", nargs="+", choices=["torch", "triton"], default=["triton"])
    parser.add_argument("--lengths", nargs="+", type=int, default=LENGTHS)
    asked = parser.parse_args()
    lines = []
    for kernels in asked.kernels:
        for name in asked.models:
            lines += report(name, kernels, asked.lengths)
    if vars(asked) == vars(parser.parse_args([])):
        PREDICTED.write_text("\n".join([*HEADER, *lines]) + "\n", encoding="utf-8")


def report(name: str, kernels: str, lengths: list[int]) -> list[str]:
    """Print what a model costs; the lines of its predictions."""
    precision = MODELS[name]
    speeds = {gpu: {} for gpu in gpus_of(precision)}
    for length in lengths:
        counts = count(name, pack_of(length), kernels, precision == "fp8")
        if length == lengths[0]:
            print(f"\n{name}, {precision}, {kernels} kernels, pack {pack_of(length)}, per token\n")
            print(table(counts))
            print(f"\nlaunches per pack: {len(counts.all)}")
            print(f"elementwise: {counts.elementwise_bytes / 1e6:.2f} MB per token")
        for gpu in speeds:
            speeds[gpu][length] = tokens_per_second(counts, gpu)
    found = misaligned(name, kernels, precision == "fp8")
    print(f"products that are not aligned: {len(found)}", *found, sep="\n  ")
    for gpu, timed in speeds.items():
        text = ", ".join(f"{speed:,.0f} at {length:,}" for length, speed in timed.items())
        print(f"predicted tokens per second, {gpu}: {text}")
    return entries(name, speeds, kernels)


HEADER = [
    "# Predicted speeds of the packed engine, made by `make gpu-cost`: counted bytes and FLOPs,",
    "# and assumed shares of the peak rates of GPUs (tests/benchmark/gpu_cost.py). Not measured.",
    "#",
    "# models: models with the architecture that was counted. tokens: length of a sequence.",
    "# seconds: predicted time per sequence, in packs of at least 16,384 tokens.",
]

if __name__ == "__main__":
    main()
