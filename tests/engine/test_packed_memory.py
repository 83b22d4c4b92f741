"""The memory of the packed engine: its formula, packs in parts, out of memory."""

import itertools
import logging

import numpy as np
import pytest
import torch
from evo2_embed.engine.footprint import KVCacheOptions
from evo2_embed.engine.memory import free_bytes, free_in_control_groups
from evo2_embed.engine.packed import PackedEngine
from evo2_embed.engine.segments import Segments
from evo2_embed.io.errors import InputError
from runs import ROOT, run_python
from stock import LAYERS, assert_same, make_pack, packs_of, random_segments


def test_a_pack_that_does_not_fit_runs_in_parts(evo2, engine):
    pack = make_pack(random_segments([300, 200, 700, 100]))
    small = PackedEngine(evo2, LAYERS)
    small.free = small.footprint.bytes(Segments(make_pack(random_segments([700]))))
    assert small.footprint.bytes(Segments(pack)) > small.free
    whole, parts = engine.run(pack), small.run(pack)
    assert_same(whole, parts)
    small.free = small.footprint.bytes(Segments(make_pack(random_segments([100])))) - 1
    with pytest.raises(InputError, match=r"\d+ tokens need 0\.\d+ GiB .* free"):
        small.run(pack)


def test_out_of_memory_halves_the_pack_and_is_remembered(evo2, engine, monkeypatch, caplog):
    most = []
    small = PackedEngine(evo2, LAYERS)
    first = small.blocks[0]

    def tight(x, *arguments):
        most.append(len(x))
        if len(x) > room:
            raise torch.cuda.OutOfMemoryError("out of memory")
        first(x, *arguments)

    small.blocks[0], room = tight, 900
    pack = make_pack(random_segments([300, 200, 700, 100, 300]))
    with caplog.at_level(logging.WARNING):
        parts = small.run(pack)
    assert "1600 tokens were too many" in caplog.text
    whole = engine.run(pack)
    assert_same(whole, parts)
    most.clear()
    small.run(pack)
    assert max(most) <= 900
    room = 100
    with pytest.raises(InputError, match="tokens do not fit the memory of .* fewer layers"):
        small.run(pack)


@pytest.mark.parametrize(
    ("packs", "layers"),
    [
        ("[make_pack(random_segments([60_000]))]", ["blocks.6.mlp.l3"]),
        (
            "[make_pack(random_segments([8192] * 14))]",
            ["blocks.6.mlp.l3", "norm", "blocks.2.projections"],
        ),
        ("[make_pack(random_segments([150] * 700))]", ["norm"]),
        ("[make_pack(random_segments([5000, 4100, 3300, 2500, 1500, 700] * 7))]", ["norm"]),
        ("packs_of(random_segments([36_000])[0], 18_000)", ["norm"]),
        ("packs_of(random_segments([36_000])[0], 18_000)", ["norm", "int8"]),
    ],
    ids=["long", "windows", "reads", "mixed", "piece", "piece, int8"],
)
def test_the_memory_formula_is_what_is_measured(tmp_path, packs, layers):
    kind = layers.pop() if layers[-1] == "int8" else "model"
    code = f"""
import sys
from pathlib import Path
import numpy as np, torch
sys.path[:0] = [{str(ROOT / "tests")!r}, {str(ROOT / "resources" / "training")!r}]
from evo2_embed.model import models
from evo2_embed.engine.footprint import KVCacheOptions
from evo2_embed.engine.packed import PackedEngine
from evo2_embed.engine.segments import Segments
from evo2_embed.model.loading import load_model
from stock import make_pack, packs_of, random_segments

def resident(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field)) * 1024

evo2 = load_model(models.TINY, models.bundled_checkpoint(), "fp32")
engine = PackedEngine(evo2, {layers}, KVCacheOptions({kind!r}))
engine.run(make_pack(random_segments([1000, 70])))
*before, pack = {packs}
for earlier in before:
    engine.run(earlier)
engine.scratch.clear()
if torch.cuda.is_available():
    before = torch.cuda.memory_allocated()
    outputs = engine.run(pack)
    peak = torch.cuda.max_memory_allocated()
else:
    Path("/proc/self/clear_refs").write_text("5")  # the peak counts from now on
    before = resident("VmRSS")
    outputs = engine.run(pack)
    peak = resident("VmHWM")
print((peak - before) / engine.footprint.bytes(Segments(pack)))
"""
    # The allocator and the matrix products keep a little for themselves.
    assert 0.6 <= float(run_python(code, tmp_path).split()[-1]) <= 1.1


@pytest.mark.parametrize("kv_type", ["model", "bf16", "int8"])
@pytest.mark.parametrize("layer", ["embedding_layer", "blocks.0", "blocks.3", "blocks.5", "norm"])
def test_the_memory_formula_counts_the_state_of_a_stretch(evo2, layer, kv_type):
    engine = PackedEngine(evo2, [layer], KVCacheOptions(kv_type))
    first, _ = packs_of(random_segments([300])[0], 200)
    engine.run(first)
    (states,) = engine.states.open.values()
    kept, other = 0, 0
    for value in itertools.chain(*(block.values() for block in states)):
        if torch.is_tensor(value):
            other += value.nbytes
        else:
            kept += value.values.nbytes + (0 if value.scales is None else value.scales.nbytes)
    assert (kept, other) == (engine.footprint.cache_bytes(300), engine.footprint.state)


def test_free_memory_is_that_of_the_control_group(tmp_path):
    assert 0 < free_bytes(torch.device("cpu")) < 1 << 50
    job = tmp_path / "slurm" / "job"
    job.mkdir(parents=True)
    for folder, limit in ((job, "max"), (job.parent, "1000")):
        (folder / "memory.max").write_text(limit)
        (folder / "memory.current").write_text("900")
        (folder / "memory.stat").write_text("active_file 50\ninactive_file 7\nanon 800\n")
    assert free_in_control_groups(["0::/slurm/job"], tmp_path) == 157
    assert free_in_control_groups(["0::/"], tmp_path) == np.inf
