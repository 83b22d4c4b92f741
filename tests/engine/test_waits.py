"""Within a pack the host never waits for a GPU: no operation needs the value of a tensor there."""

import sys

import numpy as np
import pytest
import torch
from evo2_embed.embed.pooling import Pooler
from evo2_embed.embed.row_spans import RowSpans
from evo2_embed.engine import segments
from evo2_embed.engine.packed import PackedEngine
from evo2_embed.settings.extraction import SCORES
from stock import make_pack, packs_of, random_segments
from torch.utils._python_dispatch import TorchDispatchMode

aten = torch.ops.aten
# These return a value to the host, or a tensor whose shape depends on values.
WAIT = {aten._local_scalar_dense, aten.nonzero, aten.masked_select, aten.equal, aten.unique_dim}


class Waits(TorchDispatchMode):
    """Collects the operations that would wait."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        indices = arguments[1] if function.overloadpacket in (aten.index, aten.index_put_) else ()
        masks = [index for index in indices if index is not None and index.dtype == torch.bool]
        if function.overloadpacket in WAIT or masks:
            self.found.append(str(function))
        return function(*arguments, **(keywords or {}))


@pytest.fixture
def waits(monkeypatch):
    """A mode that also notes arrays that reach a tensor in another way than from pinned memory."""
    mode, convert = Waits(), torch.from_numpy

    def from_numpy(values):
        if sys._getframe(1).f_code is not segments.upload.__code__:
            mode.found.append("from_numpy")
        return convert(values)

    monkeypatch.setattr(torch, "from_numpy", from_numpy)
    return mode


@pytest.mark.parametrize(
    "packs",
    [
        [make_pack(random_segments([200, 1, 65, 130]))],
        [make_pack(random_segments([128, 128]))],
        packs_of(random_segments([300])[0], 120),
    ],
    ids=["different", "uniform", "continued"],
)
def test_the_engine_does_not_wait(engine, evo2, packs, waits):
    scoring = PackedEngine(evo2, [SCORES])
    with waits:
        for pack in packs:
            engine.run(pack)
            scoring.run(pack)
    assert waits.found == []


def test_pooling_does_not_wait(waits):
    rows, ends = np.array([0, 1, 2]), np.array([True, True, False])
    spans = RowSpans(rows, np.array([0, 3, 4]), np.array([4, 2, 3]), ends, np.zeros(3, int))
    later = RowSpans(rows[2:], np.array([0]), np.array([2]), ends[:1], np.zeros(1, int))
    for pooling in ("mean", "max"):
        pooler = Pooler(pooling)
        with waits:
            pooler.pool({"norm": torch.randn(7, 4)}, spans)
            pooler.pool({"norm": torch.randn(2, 4)}, later)
    assert waits.found == []


def test_what_waits_is_noticed(waits):
    with waits:
        values = torch.ones(3)
        values[values > 0]
        values.sum().item()
        torch.from_numpy(np.ones(2))
        segments.upload(np.ones(2), values.device)
    assert waits.found == ["aten.index.Tensor", "aten._local_scalar_dense.default", "from_numpy"]
