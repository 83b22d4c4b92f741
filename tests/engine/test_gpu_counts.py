"""What the engine would run on a GPU, counted with fake tensors at the true shapes of evo2_7b."""

import pytest
import torch
from fake_gpu import count
from gpu_counts import is_aligned


@pytest.mark.parametrize("lengths", [[8191, 8192], [1, 5, 100, 601]], ids=str)
def test_every_matrix_product_is_aligned(lengths):
    counts = count("evo2_7b", lengths, "torch")
    products = [launch for launch in counts.all if launch.kind == "product"]
    assert len(products) > 32 * 5
    assert counts.misaligned == []


def test_operands_that_are_not_aligned_are_noticed():
    values = torch.empty(64, 128, dtype=torch.bfloat16)
    assert is_aligned(values)
    assert is_aligned(values.t())
    assert is_aligned(values[:, 8:])
    assert not is_aligned(values[:, 2:])  # starts at 4 bytes
    assert not is_aligned(values.view(-1)[: 64 * 127].view(64, 127))  # rows of 254 bytes
    assert not is_aligned(values[:, ::2])  # no dimension is contiguous
