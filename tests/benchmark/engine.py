"""Speed and memory of the packed engine on a CPU: `make benchmark` (on a GPU: `make test-gpu`).

Four contenders, with the same weights and sequences, in turns in every repeat:

- readme: the loop of the evo2 package's README, one sequence per call of `Evo2.forward`;
- padded: `Evo2.forward` on batches of 8 sequences in their order, padded to the longest;
- packed: the packed engine;
- matmul: only the matrix products of the packed engine's packs, into existing buffers: the linear
  layers, and the part of the attention that a causal mask keeps.

Out: `results/benchmark/engine.json`, a list of records (`model`, `workload`, `contender`,
`tokens_per_second` from the median, `peak_rss_mb` of the process), a table, and a plot.
"""

import argparse
import ctypes
import gc
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from tabulate import tabulate

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "workflow" / "scripts"), str(ROOT / "resources" / "training")]

from evo2_embed.engine.pack import Pack  # noqa: E402
from evo2_embed.engine.packed import PackedEngine  # noqa: E402
from evo2_embed.model import registry  # noqa: E402
from evo2_embed.model.loading import build_model  # noqa: E402
from evo2_embed.pack.fit import first_fit  # noqa: E402
from random_weights import make_state  # noqa: E402

LAYER = "blocks.6.mlp.l3"  # block 6 of 8, as blocks.28.mlp.l3 is block 28 of 32 in evo2_7b
MAX_TOKENS = 16384  # tokens per pack, as in config.yaml
BATCH = 8
QUERIES = 512  # rows of the attention's products at once
CONTENDERS = ("readme", "padded", "packed", "matmul")
COLOURS = ("#9aa5b1", "#c9b79c", "#2f6f4f", "#d9d9d9")


def workloads() -> dict[str, np.ndarray]:
    """Lengths of the sequences of each workload, in their order."""
    rng = np.random.default_rng(0)
    genes = np.exp(rng.normal(np.log(1000), 1, 32)).astype(int).clip(150, 8192)
    return {
        "uniform 8,192": np.full(2, 8192),
        "genes": genes[:24],
        "reads of 250": np.full(65, 250),
        "one of 32,768": np.concatenate([genes[24:28], [32768], genes[28:31]]),
    }


def settings_of_width(width: int) -> dict:
    """Settings of the bundled model with another width."""
    config = dict(registry.model_config(registry.TINY))
    return config | {
        "hidden_size": width,
        "num_filters": width,
        "hcl_filter_groups": width,
        "inner_mlp_size": config["inner_mlp_size"] * width // config["hidden_size"],
    }


def contenders(evo2, sequences: list[np.ndarray]) -> dict[str, Callable[[], object]]:
    """The timed functions, by name."""
    rows = [torch.from_numpy(tokens.astype(np.int64)) for tokens in sequences]
    batches = [
        torch.nn.utils.rnn.pad_sequence(rows[first : first + BATCH], True, padding_value=1)
        for first in range(0, len(rows), BATCH)
    ]
    lengths = np.array([len(tokens) for tokens in sequences])
    packs = []
    for members in first_fit(lengths, max(MAX_TOKENS, lengths.max())):
        ends = np.concatenate([[0], np.cumsum(lengths[members])])
        packs.append(Pack(np.concatenate([sequences[member] for member in members]), ends))
    engine = PackedEngine(evo2, [LAYER])
    longest = max(len(pack.tokens) for pack in packs)
    products = cache(lambda: Products(evo2.model.config, len(engine.blocks), longest))

    def forward(ids: torch.Tensor) -> None:
        evo2(ids, return_embeddings=True, layer_names=[LAYER])

    return {
        "readme": lambda: [forward(row[None]) for row in rows],
        "padded": lambda: [forward(batch) for batch in batches],
        "packed": lambda: [engine.run(pack) for pack in packs],
        "matmul": lambda: [products().run(pack) for pack in packs],
    }


class Products:
    """The matrix products of a pack, and nothing else."""

    def __init__(self, config, blocks: int, tokens: int):
        width, inner = config.hidden_size, config.inner_mlp_size
        self.heads, self.blocks = config.num_attention_heads, blocks
        self.attention = [index for index in config.attn_layer_idxs if index < blocks]
        self.linear = [(width, 3 * width), (width, width), (width, inner), (width, inner)]
        self.linear.append((inner, width))
        self.inputs = {size: torch.randn(tokens, size) for size in (width, inner)}
        self.outputs = {size: torch.empty(tokens, size) for _, size in self.linear}
        self.weights = [torch.randn(out, size) for size, out in self.linear]
        self.qkv = torch.randn(3, self.heads, tokens, width // self.heads)
        self.scores = torch.empty(self.heads * QUERIES * tokens)
        self.context = torch.empty(self.heads * QUERIES * (width // self.heads))

    def run(self, pack: Pack) -> None:
        """One pass through the blocks."""
        tokens = len(pack.tokens)
        for _ in range(self.blocks):
            for (size, out), weight in zip(self.linear, self.weights, strict=True):
                torch.mm(self.inputs[size][:tokens], weight.t(), out=self.outputs[out][:tokens])
        for _ in self.attention:
            for first, last in zip(pack.cu_seqlens, pack.cu_seqlens[1:], strict=False):
                self._attend(int(first), int(last))

    def _attend(self, first: int, last: int) -> None:
        q, k, v = self.qkv
        for start in range(first, last, QUERIES):
            stop = min(start + QUERIES, last)
            shape = (self.heads, stop - start, stop - first)
            scores = self.scores[: int(np.prod(shape))].view(shape)
            torch.bmm(q[:, start:stop], k[:, first:stop].transpose(1, 2), out=scores)
            out = self.context[: self.heads * (stop - start) * v.shape[2]]
            torch.bmm(scores, v[:, first:stop], out=out.view(self.heads, stop - start, -1))


def resident(field: str) -> float:
    """Memory of this process in MB: `VmRSS` now, or `VmHWM` at its peak. Linux only."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) / 1024


def measure(calls: dict[str, Callable[[], object]], repeats: int) -> dict[str, tuple[float, float]]:
    """Median seconds and peak memory in MB of each.

    First, each is called once for the memory, then `repeats` times for the time. Without repeats,
    the time is that of the first call.
    """
    peaks, first = {}, {}
    for name, call in calls.items():
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)  # memory freed by other contenders does not count here
        Path("/proc/self/clear_refs").write_text("5")
        first[name] = [seconds_of(call)]
        peaks[name] = resident("VmHWM")
    seconds: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(repeats):
        for name, call in calls.items():
            seconds[name].append(seconds_of(call))
    return {name: (statistics.median(seconds[name] or first[name]), peaks[name]) for name in calls}


def seconds_of(call: Callable[[], object]) -> float:
    """Seconds of a call."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def table(records: list[dict]) -> str:
    """Tokens per second, and the ratios of the packed engine, by model and workload."""
    rows = []
    for model, workload in dict.fromkeys((r["model"], r["workload"]) for r in records):
        mine = {
            r["contender"]: r for r in records if (r["model"], r["workload"]) == (model, workload)
        }
        speed = {name: record["tokens_per_second"] for name, record in mine.items()}
        ratio = {name: speed["packed"] / speed[name] for name in speed}
        peak = {name: record["peak_rss_mb"] for name, record in mine.items()}
        rows.append(
            [model, workload]
            + [f"{speed[name]:,.0f}" if name in speed else "" for name in CONTENDERS]
            + [f"{ratio[name]:.2f}x" if name in ratio else "" for name in ("readme", "padded")]
            + [f"{ratio['matmul']:.0%}" if "matmul" in ratio else ""]
            + [f"{peak['packed']:,.0f} / {peak['readme']:,.0f}"]
        )
    headers = ["model", "workload", *CONTENDERS, "packed/readme", "packed/padded"]
    headers += ["packed/matmul", "MB packed/readme"]
    return tabulate(rows, headers, tablefmt="github", disable_numparse=True)


def plot(records: list[dict], path: Path) -> None:
    """Bars of tokens per second, one panel per model."""
    names = list(dict.fromkeys(r["model"] for r in records))
    figure, axes = plt.subplots(1, len(names), figsize=(4.2 * len(names), 3.4), squeeze=False)
    for axis, name in zip(axes[0], names, strict=True):
        mine = [r for r in records if r["model"] == name]
        loads = [w for w in workloads() if any(r["workload"] == w for r in mine)]
        for number, (contender, colour) in enumerate(zip(CONTENDERS, COLOURS, strict=True)):
            speed = {
                r["workload"]: r["tokens_per_second"] for r in mine if r["contender"] == contender
            }
            places = np.arange(len(loads)) + (number - 1.5) * 0.2
            label = {"matmul": "matrix products alone"}.get(contender, contender)
            axis.bar(places, [speed[w] / 1000 for w in loads], 0.2, color=colour, label=label)
        axis.set_title(name, fontsize=10)
        axis.set_xticks(
            range(len(loads)), [w.replace(" among", "\namong") for w in loads], fontsize=7
        )
        axis.spines[["top", "right"]].set_visible(False)
    axes[0][0].set_ylabel("thousand tokens per second")
    handles, labels = axes[0][0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="lower center", ncols=len(CONTENDERS), frameon=False)
    figure.tight_layout(rect=(0, 0.09, 1, 1))
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--widths", type=int, nargs="+", default=[128, 256, 512])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--long", type=int, default=65536, help="tokens of the single segment")
    parser.add_argument("--output", type=Path, default=ROOT / "results" / "benchmark")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.set_grad_enabled(False)
    rng = np.random.default_rng(1)
    records: list[dict] = []
    for width in options.widths:
        config = settings_of_width(width)
        model = registry.TINY if width == 128 else f"width {width}"
        with tempfile.TemporaryDirectory() as folder:
            torch.save(make_state(config), f"{folder}/weights.pt")
            evo2 = build_model(config, f"{folder}/weights.pt", "fp32", model)
        loads = {name: (lengths, CONTENDERS) for name, lengths in workloads().items()}
        loads[f"{options.long:,} alone"] = (np.array([options.long]), ("packed", "readme"))
        for workload, (lengths, names) in loads.items():
            repeats = options.repeats if lengths.max() <= MAX_TOKENS else 0
            sequences = [rng.choice(np.frombuffer(b"ACGT", np.uint8), n) for n in lengths]
            calls = contenders(evo2, sequences)
            calls = {name: calls[name] for name in names}
            for name, (seconds, peak) in measure(calls, repeats).items():
                speed = round(int(lengths.sum()) / seconds, 1)
                records.append(
                    {
                        "model": model,
                        "workload": workload,
                        "contender": name,
                        "tokens_per_second": speed,
                        "peak_rss_mb": round(peak),
                    }
                )
            print(table(records).splitlines()[-1], flush=True)
    options.output.mkdir(parents=True, exist_ok=True)
    (options.output / "engine.json").write_text(json.dumps(records, indent=1) + "\n")
    plot(records, options.output / "engine.png")
    print(
        f"\n{options.threads} threads, torch {torch.__version__}, layer {LAYER}\n\n{table(records)}"
    )


if __name__ == "__main__":
    main()
