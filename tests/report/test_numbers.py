"""Numbers of the page read well."""

import pytest
from evo2_embed.report.depth import by_order
from evo2_embed.report.numbers import between, duration, memory


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "under 1 s"),
        (0.4, "under 1 s"),
        (59.4, "59 s"),
        (59.6, "1 min 0 s"),
        (200, "3 min 20 s"),
        (7500, "2 h 5 min"),
    ],
)
def test_times_of_jobs(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("megabytes", "text"),
    [(0, "-"), (0.3, "under 1 MB"), (135.2, "135.2 MB"), (2048, "2.0 GB")],
)
def test_memory_of_jobs(megabytes, text):
    assert memory(megabytes) == text


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([0.5, 0.25], "0.25 to 0.50"),
        ([-0.0112, -0.0131], "-0.013 to -0.011"),
        ([0.3, 0.3], "0.30"),
        ([-0.001, 0.0], "-0.001 to 0.000"),
        ([-0.0], "0.00"),
    ],
)
def test_the_ends_of_a_range_differ(values, text):
    assert between(values, 2) == text


def test_layers_are_in_the_order_of_the_forward_pass():
    names = ["all_layers", "norm", "blocks.6.mlp.l3", "blocks.7", "blocks.5", "blocks.6"]
    assert by_order(names, "evo2_tiny") == [
        "blocks.5",
        "blocks.6.mlp.l3",
        "blocks.6",
        "blocks.7",
        "norm",
        "all_layers",
    ]
