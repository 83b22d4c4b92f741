"""Measure the peak memory of packs: by case, the bytes measured and the formula's, as JSON.

A process of its own, since the peak of one that has run other tests says little; on a CPU each case
is a fork of it, since the model is loaded once. Run by `test_packed_memory.py`.
"""

import json
import os
import sys
from pathlib import Path

# By case: lengths of the segments; the length at which these are cut, or None; layers; type of the
# KV cache. What is measured is the last pack.
CASES = {
    "long": ([16_000], None, ["blocks.6.mlp.l3"], "model"),
    "windows": ([8192] * 3, None, ["blocks.6.mlp.l3", "norm", "blocks.2.projections"], "model"),
    "reads": ([150] * 200, None, ["norm"], "model"),
    "mixed": ([5000, 4100, 3300, 2500, 1500, 700] * 2, None, ["norm"], "model"),
    "scores": ([8192] * 3, None, ["scores"], "model"),
    "segment": ([12_000], 6000, ["norm"], "model"),
    "segment, int8": ([12_000], 6000, ["norm"], "int8"),
}


def resident(field):
    """A field of this process's memory, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) * 1024


def measure(evo2, lengths, longest, layers, kv_type):
    """Peak of the last pack in bytes: as measured, and by the formula."""
    engine = PackedEngine(evo2, layers, KVCacheOptions(kv_type))
    engine.run(make_pack(random_segments([1000, 70])))
    segments = random_segments(lengths)
    *earlier, pack = packs_of(segments[0], longest) if longest else [make_pack(segments)]
    for each in earlier:
        engine.run(each)
    engine.scratch.clear()
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        outputs = engine.run(pack)
        peak = torch.cuda.max_memory_allocated()
    else:
        Path("/proc/self/clear_refs").write_text("5")  # the peak counts from now on
        before = resident("VmRSS")
        outputs = engine.run(pack)
        peak = resident("VmHWM")
    assert len(outputs) == len(layers)
    return peak - before, engine.footprint.bytes(Segments(pack))


def in_a_fork(function, *arguments):
    """What a function returns, computed in a fork of this process."""
    reading, writing = os.pipe()
    if os.fork() == 0:
        os.write(writing, json.dumps(function(*arguments)).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        result = json.loads(pipe.read())
    os.wait()
    return result


if __name__ == "__main__":
    ROOT = Path(__file__).resolve().parents[2]
    sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "resources" / "training")]
    import torch
    from evo2_embed.engine.footprint import KVCacheOptions
    from evo2_embed.engine.packed import PackedEngine
    from evo2_embed.engine.segments import Segments
    from evo2_embed.model import registry
    from evo2_embed.model.loading import load_model
    from stock import make_pack, packs_of, random_segments

    torch.set_num_threads(1)  # a fork has no other threads of its parent
    model = load_model(registry.TINY, registry.bundled_checkpoint(), "fp32")
    run = (lambda f, *x: f(*x)) if torch.cuda.is_available() else in_a_fork
    print(json.dumps({name: run(measure, model, *case) for name, case in CASES.items()}))
