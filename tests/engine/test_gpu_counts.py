"""What the engine would run on a GPU, counted with fake tensors at the true shapes of evo2_7b."""

import pytest
import torch
from fake_gpu import count
from gpu_cost import tokens_per_second
from gpu_counts import is_aligned


@pytest.fixture(scope="module", params=["torch", "triton"])
def counts(request):
    """Kernels, and the counts of a pack of an odd number of tokens."""
    return request.param, count("evo2_7b", [8191, 8192], request.param)


def test_every_matrix_product_is_aligned(counts):
    _, found = counts
    products = [launch for launch in found.all if launch.kind == "product"]
    assert len(products) >= 32 * 5
    assert found.misaligned == []


def test_the_memory_formula_is_what_is_counted(counts):
    kernels, found = counts
    for each in (found, count("evo2_7b", [8191, 8192], kernels, layers=["blocks.26", "scores"])):
        assert 0.9 <= each.peak_bytes / each.formula_bytes <= 1.02


def test_what_the_triton_kernels_save(counts):
    kernels, found = counts
    if kernels == "torch":
        assert found.elementwise_bytes > 20e6
        return
    assert found.elementwise_bytes <= 6.5e6
    assert len(found.all) <= 450
    assert tokens_per_second(found, "H100 80GB") >= 42_000


def test_operands_that_are_not_aligned_are_noticed():
    values = torch.empty(64, 128, dtype=torch.bfloat16)
    assert is_aligned(values)
    assert is_aligned(values.t())
    assert is_aligned(values[:, 8:])
    assert not is_aligned(values[:, 2:])  # starts at 4 bytes
    assert not is_aligned(values.view(-1)[: 64 * 127].view(64, 127))  # rows of 254 bytes
    assert not is_aligned(values[:, ::2])  # no dimension is contiguous
