"""Fixtures of the library's tests."""

import everything
import pytest
import torch
from evo2_embed.config.resolve import resolve
from evo2_embed.dataset import part_files
from evo2_embed.engine.packed import PackedEngine
from evo2_embed.model import registry
from evo2_embed.model.loading import load_model
from runs import CONFIG, merged, write_fasta
from stock import LAYERS, Reference, save_weights

# They need environments of their own: `make test-slurm` and the like name the folders.
collect_ignore = ["slurm", "storage", "export", "browser"]

# Vortex puts a model on a GPU where it sees one; CUDA_VISIBLE_DEVICES= hides it.
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def pytest_collection_modifyitems(items):
    """Whole runs first: they take longest, and the last file of all runs on one worker alone."""
    items.sort(key=lambda item: "workflow" not in item.path.parts)


@pytest.fixture(scope="session", params=[DEVICE])
def evo2(tmp_path_factory):
    """The bundled model's architecture in float32, with random weights that keep gates away from 0.

    A trained model's outputs have tails so long that the rounding of float32 is large beside their
    mean; here it is small, and so are the bounds that follow from it.
    """
    # A second thread would wait for cores that other tests of the run are using.
    torch.set_num_threads(1)
    config = registry.model_config(registry.TINY)
    weights = save_weights(config, tmp_path_factory.mktemp("weights") / "random.pt")
    return load_model(registry.TINY, weights, "fp32")


@pytest.fixture(scope="session")
def engine(evo2):
    """The packed engine for all layers of that model."""
    return PackedEngine(evo2, LAYERS)


@pytest.fixture(scope="session")
def reference(evo2):
    """A pack, the stock model's outputs for it, and the bounds for engines with these weights."""
    return Reference(evo2, LAYERS)


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory):
    """The finished run of `everything`. Tests read it, or change a copy."""
    folder = everything.shared_folder(tmp_path_factory)
    return everything.finished(folder / "everything", folder / "everything.lock")


@pytest.fixture
def changed_run(finished_run, tmp_path):
    """A copy of it that a test may change."""
    return finished_run.copy_to(tmp_path / "flow")


@pytest.fixture
def complete(tmp_path, monkeypatch):
    """A function that gives complete settings, from the small configuration with changes."""
    monkeypatch.chdir(tmp_path)

    def complete(**changes):
        write_fasta("any.fa", [("any", "ACGT" * 100)])
        (tmp_path / "genomes.tsv").write_text("genome\tfasta\nany\tany.fa\n")
        return resolve(merged(CONFIG, changes))[0]

    return complete


@pytest.fixture
def short_groups(monkeypatch):
    """Row groups of a few rows, more of them for narrow layers; part files of a few row groups."""
    monkeypatch.setattr(part_files, "row_group_rows", lambda width, itemsize: 70 // width)
    monkeypatch.setattr(part_files, "PART_BYTES", 1000)
