"""The memory of the packed engine: its formula, packs in parts, out of memory."""

import itertools
import json
import logging

import numpy as np
import peak_memory
import pytest
import torch
from evo2_embed.engine import packed
from evo2_embed.engine.footprint import KVCacheOptions
from evo2_embed.engine.memory import free_bytes, free_in_control_groups
from evo2_embed.engine.packed import PackedEngine
from evo2_embed.engine.scratch import Scratch
from evo2_embed.engine.segment_lengths import SegmentLengths
from evo2_embed.io.errors import InputError
from runs import run_python
from stock import LAYERS, assert_same, packs_of, random_segments


def test_a_pack_that_does_not_fit_is_divided(evo2, reference):
    small, ran = PackedEngine(evo2, LAYERS), []
    first = small.blocks[0]
    small.blocks[0] = lambda x, *arguments: (ran.append(len(x)), first(x, *arguments))
    small.free = small.footprint.bytes(SegmentLengths(np.array([300])))
    assert_same(small.run(reference.pack), reference.outputs, reference.bounds)
    assert ran == [300, 194]
    small.free = small.footprint.bytes(SegmentLengths(np.array([100]))) - 1
    with pytest.raises(InputError, match=r"\d+ tokens need 0\.\d+ GiB .* free"):
        small.run(reference.pack)


OUT_OF_MEMORY = [
    torch.cuda.OutOfMemoryError("out of memory"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=["torch", "cublas"])
def test_out_of_memory_halves_the_pack_and_is_remembered(evo2, reference, caplog, error):
    most = []
    small = PackedEngine(evo2, LAYERS)
    first = small.blocks[0]

    def tight(x, *arguments):
        most.append(len(x))
        if len(x) > room:
            raise error
        first(x, *arguments)

    small.blocks[0], room = tight, 400
    with caplog.at_level(logging.WARNING):
        found = small.run(reference.pack)
    assert "494 tokens were too many" in caplog.text
    assert_same(found, reference.outputs, reference.bounds)
    most.clear()
    small.run(reference.pack)
    assert max(most) <= 400
    room = 100
    with pytest.raises(InputError, match="tokens do not fit the memory of .* fewer layers"):
        small.run(reference.pack)


def test_other_errors_are_not_taken_for_a_lack_of_memory(evo2, reference):
    broken = PackedEngine(evo2, ["norm"])

    def fail(*_):
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    broken.blocks[0] = fail
    with pytest.raises(RuntimeError, match="illegal memory access"):
        broken.run(reference.pack)


def test_a_larger_buffer_replaces_the_smaller_one_before_it_is_made():
    scratch, held = Scratch(), []

    class Like:
        dtype, device = torch.float32, torch.device("cpu")

        def new_empty(self, size, dtype=None):
            held.append(sum(map(len, scratch._buffers.values())))
            return torch.empty(size)

    for size in (10, 20, 5):
        assert scratch.get("x", (size,), Like()).shape == (size,)
    assert held == [0, 0]


@pytest.fixture(scope="module")
def peaks(tmp_path_factory):
    """By case of `peak_memory`, the peak in bytes: as measured, and by the formula."""
    code = f"import runpy; runpy.run_path({peak_memory.__file__!r}, run_name='__main__')"
    return json.loads(run_python(code, tmp_path_factory.mktemp("peaks")).splitlines()[-1])


@pytest.mark.parametrize("case", peak_memory.CASES)
def test_the_memory_formula_is_what_is_measured(peaks, case):
    # The heap keeps some small blocks that are free (less than it returns to the system at once),
    # and the matrix products some buffers of their own: on each processor others.
    measured, formula = peaks[case]
    assert 0.6 * formula <= measured <= 1.1 * formula + (24 << 20)


@pytest.mark.parametrize("kv_type", ["model", "bf16", "int8"])
@pytest.mark.parametrize(
    "layer", ["embedding_layer", "blocks.0", "blocks.3", "blocks.5", "norm", "scores"]
)
def test_the_memory_formula_counts_the_state_of_a_stretch(evo2, layer, kv_type):
    engine = PackedEngine(evo2, [layer], KVCacheOptions(kv_type))
    first, _ = packs_of(random_segments([300])[0], 200)
    engine.run(first)
    (state,) = engine.states.open.values()
    kept, other = 0, 0
    for value in itertools.chain(*(block.values() for block in state.blocks)):
        if torch.is_tensor(value):
            other += value.nbytes
        else:
            kept += sum(tile.nbytes for tile in value.values + value.scales)
    assert (kept, other) == (engine.footprint.cache_bytes(300), engine.footprint.state)


def test_each_gpu_holds_the_kv_cache_of_its_own_blocks(evo2, monkeypatch):
    monkeypatch.setattr(packed, "free_bytes", lambda device: 1 << 40)
    whole = PackedEngine(evo2, ["norm"])
    assert whole.cache_share == 1
    split = {index: f"cuda:{index // 4}" for index in range(len(evo2.model.blocks))}
    monkeypatch.setattr(evo2.model, "block_idx_to_device", split)
    assert PackedEngine(evo2, ["norm"]).cache_share == 0.5  # attention in blocks 3 and 7


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
