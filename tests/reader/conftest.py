"""Fixtures of the reader's tests."""

import evo2_embed
import pytest
from made import write


@pytest.fixture
def results(tmp_path, short_groups):
    """Results with two layers of one extraction, and one of another."""
    folder = tmp_path / "results"
    for extraction, layer in (("default", "blocks.2"), ("default", "blocks.10"), ("bins", "norm")):
        path = folder / "embeddings" / extraction
        path.mkdir(parents=True, exist_ok=True)
        write(path, layer)
    return folder


@pytest.fixture
def ds(results):
    """One of them: 230 rows in row groups of 14 rows, and many part files."""
    return evo2_embed.open(results, "default", "blocks.2")
