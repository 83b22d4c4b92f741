"""Fixtures of the reader's tests."""

import shutil

import evo2_embed
import pytest
from made import write


@pytest.fixture(scope="session")
def written(tmp_path_factory):
    """Results with two layers of one extraction, and one of another, for tests that change none."""
    folder = tmp_path_factory.mktemp("written") / "results"
    with pytest.MonkeyPatch.context() as patch:
        # As `short_groups`.
        patch.setattr("evo2_embed.dataset.part_files.row_group_rows", lambda width, size: 14)
        patch.setattr("evo2_embed.dataset.part_files.PART_BYTES", 1000)
        for extraction, layer in (
            ("default", "blocks.2"),
            ("default", "blocks.10"),
            ("bins", "norm"),
        ):
            path = folder / "embeddings" / extraction
            path.mkdir(parents=True, exist_ok=True)
            write(path, layer)
    return folder


@pytest.fixture
def results(written, tmp_path):
    """A copy of them that a test may change."""
    return shutil.copytree(written, tmp_path / "results")


@pytest.fixture
def ds(results):
    """One of them: 230 rows in row groups of 14 rows, and many part files."""
    return evo2_embed.open(results, "default", "blocks.2")
