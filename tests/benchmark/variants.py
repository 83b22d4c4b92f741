"""Variants as forks of their reference windows, against two full windows per variant.

Two tasks, with the bundled model and random bases:

- variants: many SNVs at random places of a sequence, each in the middle of a window of its own;
- scan: a window in which each of some bases is changed to the three others.

Contenders, one after the other in one process:

- windows: two full windows per variant, the reference's and the alternate's (`share: none`);
- forks: each alternate begins in the reference window of its site, which runs once (`share:
  window`);
- contig (variants only): the reference runs along the sequence, and each alternate begins in it
  (`share: contig`).

All contenders pack in the same way. The tokens of all variants are counted; some variants are timed
(`--timed`), since all take hours on a CPU. Their tokens per second stand for all tokens. Seconds
are those of the processor, so other work on the machine counts little.

Out: `results/benchmark/variants.json`, a list of records (`task`, `contender`, `variants`,
`tokens`, `tokens_per_variant`, `fill` of the packs, `timed` variants, their `tokens_per_second`,
and the `share` of the time that two full windows per variant take), and a table.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from tabulate import tabulate

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [
    str(ROOT / folder) for folder in ("workflow/scripts", "resources/training", "tests")
]

from evo2_embed.engine.packed import PackedEngine  # noqa: E402
from evo2_embed.model import registry  # noqa: E402
from evo2_embed.model.loading import load_model  # noqa: E402
from stock import random_segments, stretch_packs  # noqa: E402

LAYER = "blocks.6.mlp.l3"
SIZE, DOWNSTREAM = 8192, 1024  # bases of a window, and behind a variant with `share: contig`
SPACING = 1000  # bases of the sequence per variant
BASES = b"ACGT"

Stretches = tuple[list[np.ndarray], list[tuple[int, int] | None]]


def changed(bases: np.ndarray, place: int, number: int = 1) -> np.ndarray:
    """A copy with another base at a place."""
    copy = bases.copy()
    copy[place] = BASES[(BASES.index(bases[place]) + number) % 4]
    return copy


def windows(references: list[np.ndarray], alternates: list[tuple[int, int, int]]) -> Stretches:
    """Two full windows per variant; alternates are (reference, place, other base 1 to 3)."""
    found = []
    for reference, place, number in alternates:
        found += [references[reference], changed(references[reference], place, number)]
    return found, [None] * len(found)


def forks(
    references: list[np.ndarray], alternates: list[tuple[int, int, int]], behind: int = SIZE
) -> Stretches:
    """Each reference once, and each alternate as a fork of it, of at most `behind` bases; every
    reference is followed by its forks."""
    stretches, where = [], []
    of_reference: dict[int, list] = {}
    for reference, place, number in alternates:
        of_reference.setdefault(reference, []).append((place, number))
    for reference, mine in of_reference.items():
        bases, parent = references[reference], len(stretches)
        stretches.append(bases)
        where.append(None)
        for place, number in mine:
            stretches.append(changed(bases[place : place + behind], 0, number))
            where.append((parent, place))
    return stretches, where


def along(sequence: np.ndarray, places: np.ndarray, span: int) -> Stretches:
    """References of `span` bases along a sequence, each with the variants that are behind its first
    `span` - `SIZE` bases and have `DOWNSTREAM` bases behind them."""
    step = SIZE - DOWNSTREAM
    starts = range(0, len(sequence) - step, span - step)
    references = [sequence[start : start + span] for start in starts]
    number = np.minimum(np.maximum(places - step, 0) // (span - step), len(references) - 1)
    alternates = [
        (int(of), int(place - starts[of]), 1) for of, place in zip(number, places, strict=True)
    ]
    return forks(references, alternates, DOWNSTREAM)


def measure(
    engine: PackedEngine,
    stretches: Stretches,
    timed: Stretches,
    variants: tuple[int, int],
    budget: int,
) -> dict:
    """Pack all stretches, and run some of them; a record."""
    tokens = sum(map(len, stretches[0]))
    packs = sum(1 for _ in stretch_packs(stretches[0], budget, budget, stretches[1]))
    started = time.process_time()
    for pack in stretch_packs(timed[0], budget, budget, timed[1]):
        engine.run(pack)
    return {
        "variants": variants[0],
        "tokens": tokens,
        "tokens_per_variant": round(tokens / variants[0]),
        "fill": round(tokens / (packs * budget), 3),
        "timed": variants[1],
        "tokens_per_second": round(sum(map(len, timed[0])) / (time.process_time() - started), 1),
    }


def tasks(variants: int, scanned: int, timed: int, span: int) -> dict[str, dict[str, tuple]]:
    """By task and contender, all stretches, those that are timed, and the variants of both."""
    rng = np.random.default_rng(1)
    sequence = random_segments([SPACING * variants + SIZE])[0]
    places = np.sort(rng.integers(SIZE // 2, len(sequence) - SIZE // 2, variants))
    references = [sequence[place - SIZE // 2 :][:SIZE] for place in places]
    alternates = [(number, SIZE // 2, 1) for number in range(variants)]
    few, counts = alternates[:timed], (variants, min(timed, variants))
    stretch = int(places[counts[1] - 1]) + SIZE // 2
    found = {
        "variants": {
            "windows": (windows(references, alternates), windows(references, few), counts),
            "forks": (forks(references, alternates), forks(references, few), counts),
            "contig": (
                along(sequence, places, span),
                along(sequence[:stretch], places[: counts[1]], span),
                counts,
            ),
        }
    }
    first = (SIZE - scanned) // 2
    scan = [(0, first + base, number) for base in range(scanned) for number in (1, 2, 3)]
    few = scan[:: max(1, len(scan) // timed)]
    counts = (len(scan), len(few))
    found["scan"] = {
        "windows": (windows(references, scan), windows(references, few), counts),
        "forks": (forks(references, scan), forks(references, few), counts),
    }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--variants", type=int, default=1000)
    parser.add_argument("--scanned", type=int, default=300, help="bases of the saturation scan")
    parser.add_argument("--timed", type=int, default=20, help="variants of a task that are timed")
    parser.add_argument("--span", type=int, default=65_536, help="of a reference along the contig")
    parser.add_argument("--max-tokens", type=int, default=65_536, help="tokens per pack")
    parser.add_argument("--output", type=Path, default=ROOT / "results" / "benchmark")
    chosen = parser.parse_args()
    torch.set_num_threads(chosen.threads)
    evo2 = load_model(registry.TINY, registry.bundled_checkpoint(), "fp32")
    records = []
    for task, contenders in tasks(
        chosen.variants, chosen.scanned, chosen.timed, chosen.span
    ).items():
        for contender, (every, timed, variants) in contenders.items():
            engine = PackedEngine(evo2, [LAYER])
            found = measure(engine, every, timed, variants, chosen.max_tokens)
            records.append({"task": task, "contender": contender, **found})
            seconds = [r["tokens"] / r["tokens_per_second"] for r in records if r["task"] == task]
            records[-1]["share"] = round(seconds[-1] / seconds[0], 3)
            print(records[-1], flush=True)
    chosen.output.mkdir(parents=True, exist_ok=True)
    (chosen.output / "variants.json").write_text(json.dumps(records, indent=1) + "\n")
    print(f"\n{chosen.threads} threads, torch {torch.__version__}, layer {LAYER}\n")
    print(tabulate(records, headers="keys", tablefmt="github"))


if __name__ == "__main__":
    main()
