"""The import of evo2 beside packages that are there, missing or broken."""

import os
import subprocess
import sys
import types

import pytest
import torch
from evo2_embed.model import import_evo2
from evo2_embed.model.import_evo2 import has_flash_attention
from runs import SCRIPTS

# Like Transformer Engine: a layer without bias has an empty one, and loading wants an extra state.
TRANSFORMER_ENGINE = """
import torch

class Linear(torch.nn.Module):
    def __init__(self, in_features, out_features, params_dtype, bias, **_):
        super().__init__()
        weight = torch.zeros(out_features, in_features, dtype=params_dtype)
        self.weight = torch.nn.Parameter(weight)
        self.bias = torch.empty(0)

    def get_extra_state(self):
        return {"recipe": None, "extra_fp8_variables": {}}

    def set_extra_state(self, state):
        state["extra_fp8_variables"]

    def forward(self, x):
        return torch.nn.functional.linear(x, self.weight)
"""
RECIPE = "from types import SimpleNamespace as DelayedScaling\nFormat = DelayedScaling(HYBRID=0)\n"
BROKEN_FLASH = "raise ImportError('undefined symbol: _ZN3c105ErrorC2E')\n"
IMPORT = "from evo2_embed.model.import_evo2 import has_flash_attention, import_evo2\n"
# Loads the bundled model, and compares the engines.
CHECK = """
import torch
from evo2_embed.engine.check import check_engine
from evo2_embed.engine.packed import PackedEngine
from evo2_embed.model import registry
from evo2_embed.model.loading import load_model

evo2 = load_model(registry.TINY, registry.bundled_checkpoint(), "fp32")
check_engine(PackedEngine(evo2, ["norm"]), evo2, ["norm"], "fp32")
print("tf32", torch.backends.cuda.matmul.allow_tf32, torch.backends.cudnn.allow_tf32)
"""


@pytest.fixture
def python(tmp_path):
    """A function that runs code in a process that finds the stand-ins first."""
    for name, text in {
        "transformer_engine/__init__.py": "",
        "transformer_engine/pytorch.py": TRANSFORMER_ENGINE,
        "transformer_engine/common/__init__.py": "",
        "transformer_engine/common/recipe.py": RECIPE,
        "flash_attn_2_cuda.py": BROKEN_FLASH,
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)

    def python(code):
        environment = {
            **os.environ,
            "PYTHONPATH": f"{tmp_path}:{SCRIPTS}",
            "TORCH_ALLOW_TF32_CUBLAS_OVERRIDE": "1",
            "CUDA_VISIBLE_DEVICES": "",
        }
        command = [sys.executable, "-c", code]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    return python


def test_packages_that_do_not_fit_are_passed_by(python):
    found = python(CHECK)
    assert found.returncode == 0, found.stderr
    assert "tf32 False False" in found.stdout
    assert "flash-attn does not fit this torch" in found.stderr
    assert "undefined symbol" in found.stderr


def test_transformer_engine_is_used_for_fp8_only(python):
    found = python(
        IMPORT + "import_evo2(fp8=True)\nfrom vortex.model.layers import HAS_TE\nprint(HAS_TE)"
    )
    assert found.stdout.split() == ["True"], found.stderr


@pytest.mark.parametrize(("functions", "there"), [({}, False), ({"varlen_fwd": print}, True)])
def test_flash_attention_is_used_where_its_kernels_are(monkeypatch, functions, there):
    module = types.SimpleNamespace(**functions)
    monkeypatch.setitem(sys.modules, import_evo2.FLASH, module)
    assert not has_flash_attention()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert has_flash_attention() is there
