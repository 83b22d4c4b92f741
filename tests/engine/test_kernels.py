"""The Triton kernels: in Triton's interpreter against PyTorch, and compiled for GPUs."""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

import interpreted
import pytest
import torch
import triton
from evo2_embed.engine.kernels import gate, long, medium, norm, rotary, short
from evo2_embed.engine.kernels.choose import choose_kernels
from evo2_embed.io.errors import InputError
from runs import ROOT, SCRIPTS
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

MIXERS = [
    f"{kind} {name} {where} {how}"
    for kind in interpreted.TAPS
    for name, cases in interpreted.CASES.items()
    for where, how in cases
]
OTHERS = [
    f"{kernel} {name}"
    for kernel in ("norm 128", "norm 100", "rotary")
    for name in interpreted.TYPES
]
# In units of the type's precision, of the largest difference and of the root mean square. In 16
# bits nearly all values are equal, since both sum in float32; some fall on another side.
MOST = {"fp32": (8, 4), "bf16": (1, 0.05), "fp16": (1, 0.05)}

D, T = 4096, 16_384  # evo2_7b
TYPES = {torch.bfloat16: "*bf16", torch.float32: "*fp32", torch.int32: "*i32"}
TYPES[torch.float64] = "*fp64"
# Per thread, of 255.
REGISTERS = {"gate": 192, "short": 160, "medium": 255, "long": 255, "norm": 64, "rotary": 128}
SHARED = {"medium": 40_000, "long": 44_000, "rotary": 4608}  # bytes; an A100 has 164 KiB


@pytest.fixture(scope="module")
def distances(tmp_path_factory):
    """By case of `interpreted`, how far Triton is from PyTorch."""
    folder = tmp_path_factory.mktemp("interpreted")
    path = os.pathsep.join(map(str, (SCRIPTS, ROOT / "tests", ROOT / "resources" / "training")))
    environment = {"PYTHONPATH": path, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    output = subprocess.run(
        [sys.executable, interpreted.__file__, folder / "weights.pt"],
        cwd=folder,
        env=environment | {"CUDA_VISIBLE_DEVICES": ""},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    return json.loads(output.splitlines()[-1])


@pytest.mark.parametrize("case", MIXERS)
def test_filters_and_gates_are_those_of_pytorch(distances, case):
    largest, rms = distances[case]
    assert largest <= MOST[case.split()[1]][0]
    assert rms <= MOST[case.split()[1]][1]


@pytest.mark.parametrize("case", OTHERS)
def test_norm_and_rotary_positions_are_those_of_pytorch(distances, case):
    kernel, *width, name = case.split()
    largest, rms = distances[" ".join([kernel, name, *width])]
    assert largest <= MOST[name][0]
    assert rms <= MOST[name][1]


@pytest.mark.parametrize("case", ["engine", "engine, stretch", "engine, fork"])
def test_the_engine_with_triton_gives_what_stock_gives(distances, case):
    assert distances[case] <= 1


def test_triton_is_refused_where_it_cannot_run():
    assert choose_kernels("auto", torch.device("cpu")) == "torch"
    with pytest.raises(InputError, match=r"runtime.kernels: triton cannot run on cpu.*auto, torch"):
        choose_kernels("triton", torch.device("cpu"))


def meta(*shape, dtype=torch.bfloat16):
    """A tensor without values."""
    return torch.empty(shape, dtype=dtype, device="meta")


def of_projections(history):
    """Arguments that `gate` and `short` share."""
    before = meta(2, 3 * D, 2) if history else None
    taps, rows = meta(3 * D, 3, dtype=torch.float32), meta(3, D, dtype=torch.int32)
    return meta(3 * D, T), taps, None, rows, before


def launches(history):
    """By kernel, a function that launches it at the shapes of evo2_7b."""
    shared = of_projections(history)
    u, tokens = meta(D, T), meta(2, T, dtype=torch.int32)
    blocks, taps = meta(5, T // 64, dtype=torch.int32), meta(D, 16, dtype=torch.float32)
    bias, first = meta(D, dtype=torch.float32), meta(D, 64, dtype=torch.float32)
    earlier, modes = meta(2, D, 6) if history else None, None
    inner, group = meta(D, 7, dtype=torch.float32), meta(256, 128, dtype=torch.float32)
    last = meta(2, D, 127) if history else None
    if history:
        modes = meta(2, D, 16, dtype=torch.float64)
    after = meta(2 * history, D, 16, dtype=torch.float32)
    cos = meta(T, 1, 1, 64, dtype=torch.float32)
    return {
        "gate": lambda: gate.gate(*shared, tokens, u, u),
        "short": lambda: short.short(*shared, inner, earlier, tokens, u),
        "medium": lambda: medium.medium(u, u, group, bias, last, blocks, u),
        "long": lambda: long.long(u, u, first, taps, taps, modes, blocks, after, u),
        "norm": lambda: norm.add_norm(meta(T, D), meta(T, D), meta(D), 1e-6, meta(T, D)),
        "rotary": lambda: rotary.rotate(meta(T, 3, 32, 128)[:, :2], cos, cos),
    }


def compile_for(capability, kernel, arguments, constants):
    """Registers and bytes of stack per thread, and bytes of shared memory per program."""
    names = kernel.arg_names
    options = {key: constants[key] for key in constants if key not in names}
    constexprs = {(names.index(key),): constants[key] for key in constants if key in names}
    signature = dict.fromkeys(names, "constexpr")
    aligned = {}
    for index, (name, value) in enumerate(zip(names, arguments, strict=False)):
        tensor = torch.is_tensor(value)
        kind = "fp32" if isinstance(value, float) else "i32"
        signature[name] = TYPES[value.dtype] if tensor else kind
        if tensor or (kind == "i32" and value % 16 == 0):
            aligned[index,] = [["tt.divisibility", 16]]
    compiled = triton.compile(
        ASTSource(kernel, signature, constexprs, aligned),
        target=GPUTarget("cuda", capability, 32),
        options=options,
    )
    tool = Path(triton.__file__).parent / "backends" / "nvidia" / "bin" / "cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        Path(file.name).write_bytes(compiled.asm["cubin"])
        usage = subprocess.check_output([tool, "-res-usage", file.name], text=True)
    registers, stack = map(int, re.search(r"REG:(\d+) STACK:(\d+)", usage).groups())
    return registers, stack, compiled.metadata.shared


# With inputs from earlier segments for the older GPU only: compiling takes seconds.
@pytest.mark.parametrize(
    ("name", "capability", "history"),
    [(name, capability, False) for name in REGISTERS for capability in (80, 90)]
    + [(name, 80, True) for name in ("gate", "short", "medium", "long")],
)
def test_kernels_compile_without_spills(name, capability, history, monkeypatch):
    module = {"gate": gate, "short": short, "medium": medium, "long": long}
    module |= {"norm": norm, "rotary": rotary}
    noted = []
    monkeypatch.setattr(
        module[name], "launch", lambda kernel, grid, work, *a, **c: noted.append((kernel, a, c))
    )
    launches(history)[name]()
    registers, stack, shared = compile_for(capability, *noted[0])
    print(f"{name}, {capability}: {registers} registers, {stack} stack, {shared} shared")
    assert stack == 0  # registers that do not suffice spill to the stack
    assert registers <= REGISTERS[name]
    assert shared <= SHARED.get(name, 4096)
