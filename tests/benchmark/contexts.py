"""Time and memory of long contexts: `make benchmark-contexts`.

Every measurement runs in its own process, which embeds random bases with the bundled model:

- stretch: one stretch of `context` bases, segment by segment: every base is computed once;
- windows: independent windows of `context` bases at 50 % overlap, of which only the second half is
  used: every base is computed twice, and sees at least half of `context`;
- stock: `Evo2.forward` over all of `context` at once.

Out: `results/benchmark/contexts.json`, a list of records (`contender`, `context`, `segment`,
`keys`, `bases_per_second`, `peak_mb` of the process without the loaded model, `kept_mb`: the KV
cache by the formula), a table, and a plot.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import matplotlib.pyplot as plt
import torch
from tabulate import tabulate

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [
    str(ROOT / folder) for folder in ("workflow/scripts", "resources/training", "tests")
]

from evo2_embed.engine.footprint import KVCacheOptions  # noqa: E402
from evo2_embed.engine.memory import map_large_blocks  # noqa: E402
from evo2_embed.engine.packed import PackedEngine  # noqa: E402
from evo2_embed.engine.stock import StockEngine  # noqa: E402
from evo2_embed.model import registry  # noqa: E402
from evo2_embed.model.loading import load_model  # noqa: E402
from stock import make_pack, packs_of, random_segments  # noqa: E402

LAYER = "blocks.6.mlp.l3"
SEGMENTS = (4096, 16_384)
CONTEXTS = (8192, 16_384, 65_536, 131_072, 262_144)
WINDOWS = 65_536  # longest windows that are timed; longer ones cost as much per base as a stretch
STOCK = 65_536  # longest context of the stock model


def measure(contender: str, context: int, length: int, keys: str, threads: int) -> dict:
    """Embed in this process; returns a record."""
    torch.set_num_threads(threads)
    map_large_blocks()  # as in an embedding job
    evo2 = load_model(registry.TINY, registry.bundled_checkpoint(), "fp32")
    kv_cache = KVCacheOptions(keys)
    engine = PackedEngine(evo2, [LAYER], kv_cache)
    if contender == "stock":
        engine = StockEngine(evo2, [LAYER])
    engine.run(make_pack(random_segments([1000])))
    bases = context
    if contender == "windows":
        # Two windows; only the second half of each is new.
        segments, bases = random_segments([context] * 2), context
        packs = [pack for segment in segments for pack in packs_of(segment, length)]
    else:
        packs = packs_of(
            random_segments([context])[0], length if contender == "stretch" else context
        )
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    started = time.perf_counter()
    for pack in packs:
        engine.run(pack)
    seconds = time.perf_counter() - started
    footprint = PackedEngine(evo2, [LAYER], kv_cache).footprint
    return {
        "contender": contender,
        "context": context,
        "segment": length,
        "keys": keys,
        "bases_per_second": round(bases / seconds, 1),
        "peak_mb": round((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024, 1),
        "kept_mb": round(footprint.cache_bytes(context) / 2**20, 1) if context > length else 0,
    }


def plan() -> list[tuple[str, int, int, str]]:
    """The measurements: contender, context, tokens per segment, type of the KV cache."""
    stretches = [("stretch", context, SEGMENTS[1], "model") for context in CONTEXTS]
    stretches += [("stretch", context, SEGMENTS[0], "model") for context in CONTEXTS[:-1]]
    windows = [("windows", x, SEGMENTS[1], "model") for x in (CONTEXTS[0], WINDOWS)]
    smaller = [("stretch", 65_536, SEGMENTS[-1], keys) for keys in ("bf16", "int8")]
    stock = [("stock", context, context, "model") for context in CONTEXTS if context <= STOCK]
    return stretches + windows + smaller + stock


def plot(records: list[dict], path: Path) -> None:
    """Bases per second, and memory, against context."""
    figure, (speed, memory) = plt.subplots(1, 2, figsize=(8.4, 3.3))
    for contender, label, colour in (
        ("stretch", "one stretch, segments of 16,384", "#2f6f4f"),
        ("windows", "windows at 50 % overlap", "#c9862f"),
        ("stock", "Evo2.forward", "#9aa5b1"),
    ):
        mine = [r for r in records if r["contender"] == contender and r["keys"] == "model"]
        if contender == "stretch":
            mine = [r for r in mine if r["segment"] == SEGMENTS[-1]]
        contexts = [r["context"] for r in mine]
        speed.plot(contexts, [r["bases_per_second"] for r in mine], "o-", color=colour, label=label)
        if contender != "windows":
            memory.plot(contexts, [r["peak_mb"] for r in mine], "o-", color=colour, label=label)
    small = [r for r in records if r["contender"] == "stretch" and r["segment"] == SEGMENTS[0]]
    contexts = [r["context"] for r in small]
    memory.plot(
        contexts, [r["peak_mb"] for r in small], "o-", color="#7fb79a", label="segments of 4,096"
    )
    memory.plot(
        contexts,
        [r["kept_mb"] for r in small],
        ":",
        color="#555",
        label="KV cache (formula)",
    )
    speed.set(ylabel="bases per second", ylim=(0, None))
    memory.set(ylabel="peak without the model (MB)", ylim=(0, None))
    for axis in (speed, memory):
        axis.set_xscale("log", base=2)
        axis.set_xticks(CONTEXTS, [f"{context // 1024} k" for context in CONTEXTS])
        axis.set_xlabel("context (bases)")
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(fontsize=7, frameon=False)
    figure.tight_layout()
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--output", type=Path, default=ROOT / "results" / "benchmark")
    parser.add_argument("--one", nargs=4, help="measure one, in this process")
    chosen = parser.parse_args()
    if chosen.one:
        contender, context, length, keys = chosen.one
        found = measure(contender, int(context), int(length), keys, chosen.threads)
        print(json.dumps(found))
        return
    records = []
    for one in plan():
        command = [sys.executable, __file__, "--threads", str(chosen.threads), "--one"]
        found = subprocess.run(
            command + [str(value) for value in one], stdout=subprocess.PIPE, text=True, check=True
        )
        records.append(json.loads(found.stdout.splitlines()[-1]))
        print(records[-1], flush=True)
    chosen.output.mkdir(parents=True, exist_ok=True)
    (chosen.output / "contexts.json").write_text(json.dumps(records, indent=1) + "\n")
    plot(records, chosen.output / "contexts.png")
    print(f"\n{chosen.threads} threads, torch {torch.__version__}, layer {LAYER}\n")
    print(tabulate(records, headers="keys", tablefmt="github"))


if __name__ == "__main__":
    main()
