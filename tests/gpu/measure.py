"""What only a GPU can show: `make test-gpu`, or one command on a bare machine (`prepare.sh`).

Sections, in order; `--sections` chooses some of them:

    machine    the card, the versions
    products   matrix products with operands that are aligned, or not
    tiny       the self-check of the bundled model, by precision and type of the KV cache
    equal      7B: the packed engine against the stock model, beside the stock model's own noise
    speed      7B: tokens per second of stock, stock with vortex's kernels, the packed engine with
               each kind of packs, and the matrix products of such a pack alone
    waits      7B: how often the host waits for the GPU within a pack
    memory     7B: the formula of the memory against what was measured
    too_large  7B: a pack that does not fit is divided, with the same result
    contexts   7B: a long stretch in segments, with its KV cache on the device, on the host, in int8
    run        the bundled genome, from FASTA to Parquet

7B has its true shapes and random weights, made on the device. With `--small` the bundled model's
shapes stand in, so that a CPU can run it.

Out: `gpu.json`, by section its records, written after each section. The exit status is 1 if a
section failed, or a record is beyond its limit.
"""

import argparse
import json
import statistics
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [
    str(ROOT / folder) for folder in ("workflow/scripts", "resources/training", "tests/gpu")
]

from evo2_embed.engine.check import check_engine  # noqa: E402
from evo2_embed.engine.footprint import KVCacheOptions  # noqa: E402
from evo2_embed.engine.memory import use_expandable_segments  # noqa: E402
from evo2_embed.engine.pack import Pack  # noqa: E402
from evo2_embed.engine.packed import PackedEngine  # noqa: E402
from evo2_embed.engine.segments import Segments  # noqa: E402
from evo2_embed.engine.stock import StockEngine  # noqa: E402
from evo2_embed.model import registry  # noqa: E402
from evo2_embed.model.loading import load_model  # noqa: E402
from random_model import load_random_model  # noqa: E402
from whole_run import embed_bundled_genome  # noqa: E402

# Allowed: times the stock model's noise; and the measured memory as a share of the formula's.
MOST_NOISE, MOST_MEMORY = 3, 1.1
CACHES = (KVCacheOptions(), KVCacheOptions("model", "host"), KVCacheOptions("int8", "host"))

Records = Iterator[dict]


class Measurement:
    """The sections; each yields records. A record with `failed` is beyond its limit."""

    def __init__(self, small: bool, folder: Path):
        self.small, self.folder = small, folder
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.name = registry.TINY if small else "evo2_7b"
        self.precision = "bf16" if self.device == "cuda" else "fp32"
        self.window = 512 if small else 8192
        self.layer = "blocks.6.mlp.l3" if small else "blocks.28.mlp.l3"
        self.layers = ["blocks.0", "blocks.2.filter", "blocks.3.inner_mha_cls", self.layer, "norm"]

    @cached_property
    def evo2(self):
        """The model of true shapes with random weights."""
        return load_random_model(self.name, self.precision, self.device)

    def machine(self) -> Records:
        card = torch.cuda.get_device_name() if self.device == "cuda" else "cpu"
        versions = {"torch": torch.__version__, "python": sys.version.split()[0]}
        yield {"card": card, "model": self.name, "precision": self.precision, **versions}

    def products(self) -> Records:
        width, tokens = (256, 1024) if self.small else (4096, 16_384)
        x, weight = self._random(tokens, width), self._random(3 * width, width)
        for offset in (0, 2, 8):
            out = self._random(3 * width, tokens + offset)[:, offset:]
            seconds = self._seconds(lambda out=out: torch.mm(weight, x.t(), out=out))
            flops = 2 * weight.numel() * tokens
            yield {"output offset": offset, "TFLOP/s": round(flops / seconds / 1e12, 2)}

    def tiny(self) -> Records:
        layers = list(registry.layer_widths(registry.TINY))
        for precision in ("fp32", "bf16") if self.device == "cuda" else ("fp32",):
            evo2 = load_model(registry.TINY, registry.bundled_checkpoint(), precision)
            for cache in CACHES:
                found = check_engine(PackedEngine(evo2, layers, cache), evo2, layers, precision)
                largest = max(found.pop("difference").values())
                yield {"precision": precision, "cache": str(cache), "difference": largest, **found}

    def equal(self) -> Records:
        window = self.window
        for lengths in ([1, 5, 100, 600], [window], [window // 2 + 1, window // 4, 333]):
            pack = self._pack(lengths)
            stock = StockEngine(self.evo2, self.layers).run(pack)
            found = PackedEngine(self.evo2, self.layers).run(pack)
            longer = self._pack(lengths, more=64)
            kept = np.concatenate(
                [first + np.arange(n) for first, n in zip(longer.cu_seqlens, lengths, strict=False)]
            )
            again = StockEngine(self.evo2, self.layers).run(longer)
            noise = {
                layer: _distance(again[layer][torch.from_numpy(kept)], stock[layer])
                for layer in self.layers
            }
            for layer in self.layers:
                difference = _distance(found[layer], stock[layer])
                yield {
                    "lengths": lengths,
                    "layer": layer,
                    "difference": difference,
                    "noise": noise[layer],
                    "failed": not difference <= MOST_NOISE * max(noise.values()),
                }

    def speed(self) -> Records:
        window = self.window
        ids = torch.from_numpy(self._pack([window]).tokens.astype(np.int64))[None].to(self.device)
        stock = {"stock": False}
        if self.device == "cuda":
            stock["stock with vortex's kernels"] = True
        for name, kernels in stock.items():
            self._use_kernels(kernels)
            seconds = self._seconds(lambda: self.evo2.forward(ids, True, ["norm"]))
            yield {"what": name, "tokens/s": round(window / seconds)}
        self._use_kernels(False)
        yield {"what": "matrix products alone", "tokens/s": round(self._products_per_second())}
        irregular = np.random.default_rng(1).integers(window // 40, window // 4, 12).tolist()
        for name, lengths in {
            "one window": [window],
            "two windows, the default pack": [window] * 2,
            "eight windows": [window] * 8,
            "a window with BOS": [window + 1],
            "an odd number of tokens": [window - 1, window],
            "irregular": irregular,
            "short": [window // 32] * 64,
        }.items():
            pack = self._pack(lengths)
            for layer in ("norm", self.layer):
                engine = PackedEngine(self.evo2, [layer])
                seconds = self._seconds(lambda engine=engine, pack=pack: engine.run(pack))
                speed = round(len(pack.tokens) / seconds)
                yield {"what": f"packed: {name}", "layer": layer, "tokens/s": speed}

    def waits(self) -> Records:
        if self.device != "cuda":
            return
        engine, pack = PackedEngine(self.evo2, [self.layer]), self._pack([700, 1250, 333])
        engine.run(pack)
        torch.cuda.set_sync_debug_mode("error")
        try:
            engine.run(pack)
            yield {"waits": False}
        except RuntimeError as error:
            yield {"waits": str(error)[:300], "failed": True}
        finally:
            torch.cuda.set_sync_debug_mode("default")

    def memory(self) -> Records:
        if self.device != "cuda":
            return
        for lengths in ([self.window], [self.window] * 2, [self.window] * 8, [100] * 160):
            engine, pack = PackedEngine(self.evo2, [self.layer]), self._pack(lengths)
            torch.cuda.empty_cache()
            before = torch.cuda.memory_allocated()
            torch.cuda.reset_peak_memory_stats()
            engine.run(pack)
            measured = torch.cuda.max_memory_allocated() - before
            formula = engine.footprint.bytes(Segments(pack))
            yield {
                "tokens": len(pack.tokens),
                "formula (GB)": round(formula / 1e9, 3),
                "measured (GB)": round(measured / 1e9, 3),
                "failed": not measured <= MOST_MEMORY * formula,
            }

    def too_large(self) -> Records:
        if self.device != "cuda":
            return
        pack = self._pack([self.window] * 8)
        whole = PackedEngine(self.evo2, [self.layer]).run(pack)[self.layer].clone()
        torch.cuda.empty_cache()
        engine = PackedEngine(self.evo2, [self.layer])  # knows of all the memory
        left = int(1.1 * engine.footprint.bytes(Segments(self._pack([self.window] * 4))))
        taken = torch.empty(torch.cuda.mem_get_info()[0] - left, dtype=torch.uint8, device="cuda")
        found = engine.run(pack)[self.layer]
        del taken
        difference = _distance(found, whole)
        divided = engine.most_tokens is not None
        yield {"most tokens": engine.most_tokens, "difference": difference, "failed": not divided}

    def contexts(self) -> Records:
        tokens = self.window * (1 if self.small else 8)
        pack = self._pack([tokens])
        whole = PackedEngine(self.evo2, [self.layer]).run(pack)[self.layer]
        for cache in CACHES:
            engine, outputs, started = PackedEngine(self.evo2, [self.layer], cache), [], time.time()
            for offset in range(0, tokens, self.window // 2):
                segment = pack.tokens[offset : offset + self.window // 2]
                context = map(np.atleast_1d, (0, offset, tokens - offset - len(segment)))
                ends = np.array([0, len(segment)])
                outputs.append(engine.run(Pack(segment, ends, 0, *context))[self.layer])
            self._wait()
            yield {
                "cache": str(cache),
                "tokens/s": round(tokens / (time.time() - started)),
                "difference": _distance(torch.cat(outputs), whole),
            }

    def run(self) -> Records:
        started = time.time()
        rows = embed_bundled_genome(self.folder / "run", self.precision, self.device)
        yield {"rows": rows, "seconds": round(time.time() - started, 1), "failed": not rows}

    def _pack(self, lengths: list[int], more: int = 0) -> Pack:
        """Random segments of these lengths; `more` tokens follow each."""
        rng = np.random.default_rng(0)
        parts = []
        for length in lengths:
            parts += [rng.choice(np.frombuffer(b"ACGT", np.uint8), length), np.full(more, 65, "u1")]
        ends = np.cumsum([length + more for length in lengths])
        return Pack(np.concatenate(parts), np.append(0, ends))

    def _random(self, *shape: int) -> torch.Tensor:
        kind = torch.bfloat16 if self.device == "cuda" else torch.float32
        return torch.randn(shape, device=self.device, dtype=kind)

    def _products_per_second(self) -> float:
        """Tokens per second of the linear layers of a pack of two windows, and nothing else."""
        weights = [p for p in self.evo2.model.blocks.parameters() if p.ndim == 2 and len(p) > 256]
        inputs = {p.shape[1]: self._random(2 * self.window, p.shape[1]) for p in weights}
        inputs = {size: values.to(weights[0].dtype) for size, values in inputs.items()}

        def run() -> None:
            for weight in weights:
                torch.mm(inputs[weight.shape[1]], weight.t())

        return 2 * self.window / self._seconds(run)

    def _use_kernels(self, on: bool) -> None:
        """Vortex's own Triton kernels, for the stock model."""
        for block in self.evo2.model.blocks:
            if hasattr(block, "filter"):
                engine = block.filter.engine
                engine.use_hcs_kernel = engine.use_hcm_kernel = engine.use_hcl_kernel = on

    def _seconds(self, call: Callable[[], object]) -> float:
        """Median seconds of a call."""
        seconds = []
        for _ in range(2 if self.small else 7):
            self._wait()
            started = time.perf_counter()
            call()
            self._wait()
            seconds.append(time.perf_counter() - started)
        return statistics.median(seconds[-5:])

    def _wait(self) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()


SECTIONS = ["machine", "products", "tiny", "equal", "speed", "waits", "memory", "too_large"]
SECTIONS += ["contexts", "run"]


def _distance(found: torch.Tensor, stock: torch.Tensor) -> float:
    """Root mean square of the difference, relative to that of the stock output."""
    found, stock = found.double(), stock.double()
    return float((found - stock).square().mean().sqrt() / stock.square().mean().sqrt())


@torch.inference_mode()
def measure(small: bool, folder: Path, sections: list[str]) -> bool:
    """Run sections, and write `gpu.json`. Whether none failed."""
    measurement, found, good = Measurement(small, folder), {}, True
    folder.mkdir(parents=True, exist_ok=True)
    for section in sections:
        started, records = time.time(), []
        found[section] = records
        try:
            for record in getattr(measurement, section)():
                records.append(record)
                print(section, json.dumps(record), flush=True)
        except Exception as error:  # the other sections are worth their time
            traceback.print_exc()
            records.append({"error": f"{type(error).__name__}: {error}"[:500], "failed": True})
        good = good and not any(record.get("failed") for record in records)
        print(f"{section}: {time.time() - started:.1f} s", flush=True)
        (folder / "gpu.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return good


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="the bundled model's shapes")
    parser.add_argument("--sections", nargs="+", default=SECTIONS, choices=SECTIONS)
    parser.add_argument("--output", type=Path, default=ROOT / "results" / "gpu")
    options = parser.parse_args()
    use_expandable_segments()
    sys.exit(not measure(options.small, options.output, options.sections))
