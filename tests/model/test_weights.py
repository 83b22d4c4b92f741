"""Weights: downloaded once and atomically; and the bundled ones."""

import multiprocessing
import zipfile

import pytest
import random_weights
import torch
from evo2_embed.io.errors import InputError
from evo2_embed.model import registry
from evo2_embed.model.weights import fetch_checkpoint


class StandIn:
    """For the hub's download: puts files into the folder, and counts how often."""

    def __init__(self, log, **files):
        self.log, self.files = log, files

    def __call__(self, repo_id, local_dir, allow_patterns):
        with open(self.log, "a") as handle:
            handle.write(f"{repo_id} {allow_patterns}\n")
        for name, content in self.files.items():
            with open(f"{local_dir}/{name}", "wb") as handle:
                handle.write(content)


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "archive.pt"
    with zipfile.ZipFile(path, "w") as handle:
        handle.writestr("data", bytes(range(256)) * 40)
    return path.read_bytes()


def fetch(tmp_path, **files):
    stand_in = StandIn(tmp_path / "log", **files)
    return fetch_checkpoint("evo2_7b", tmp_path / "models", stand_in)


def visible(tmp_path):
    return [p.name for p in (tmp_path / "models").iterdir() if p.name != ".evo2_7b.lock"]


def test_one_file_or_parts_in_their_order(tmp_path, archive):
    assert fetch(tmp_path, **{"evo2_7b.pt": archive}).read_bytes() == archive
    (tmp_path / "models" / "evo2_7b.pt").unlink()
    size = len(archive) // 12 + 1
    parts = {f"evo2_7b.pt.part{i}": archive[i * size : (i + 1) * size] for i in range(12)}
    assert fetch(tmp_path, **parts).read_bytes() == archive
    assert visible(tmp_path) == ["evo2_7b.pt"]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({}, "parts found: none"),
        ({"evo2_7b.pt.part0": b"x", "evo2_7b.pt.part2": b"y"}, r"parts found: \[0, 2\]"),
        ({"evo2_7b.pt": b"cut off"}, "not a complete checkpoint"),
    ],
)
def test_what_is_not_whole_is_refused_and_nothing_stays(tmp_path, files, said):
    with pytest.raises(InputError, match=said):
        fetch(tmp_path, **files)
    assert visible(tmp_path) == []


def test_a_failing_download_says_what_to_do(tmp_path):
    def no_network(**_):
        raise OSError("no route to host")

    with pytest.raises(InputError, match="no route to host.*model.checkpoint"):
        fetch_checkpoint("evo2_7b", tmp_path / "models", no_network)
    assert visible(tmp_path) == []


def test_two_workflows_at_once_fetch_once(tmp_path, archive):
    context = multiprocessing.get_context("fork")
    stand_in = StandIn(tmp_path / "log", **{"evo2_7b.pt": archive})
    arguments = ("evo2_7b", tmp_path / "models", stand_in)
    jobs = [context.Process(target=fetch_checkpoint, args=arguments) for _ in range(2)]
    for job in jobs:
        job.start()
    for job in jobs:
        job.join()
    assert [job.exitcode for job in jobs] == [0, 0]
    assert (tmp_path / "log").read_text().count("\n") == 1
    assert "arcinstitute/evo2_7b ['evo2_7b.pt*']" in (tmp_path / "log").read_text()


def test_the_bundled_weights_are_an_ordinary_checkpoint_of_at_most_4_mb():
    bundled = torch.load(registry.bundled_checkpoint(), weights_only=True)
    made = random_weights.make_state(registry.model_config(registry.TINY))
    assert bundled.keys() == made.keys()
    for name, value in made.items():
        assert bundled[name].dtype == value.dtype, name
        assert bundled[name].shape == value.shape, name
        assert bundled[name].isfinite().all(), name
        assert name.endswith("log_poles") <= bool((bundled[name] < 0).all()), name
    assert registry.bundled_checkpoint().stat().st_size <= 4_000_000


def test_the_bundled_model_has_all_four_kinds_of_blocks():
    config = registry.model_config(registry.TINY)
    kinds = [config[f"{kind}_layer_idxs"] for kind in ("attn", "hcl", "hcm", "hcs")]
    assert sorted(sum(kinds, [])) == list(range(config["num_layers"]))
    assert all(kinds)
    assert config["use_interpolated_rotary_pos_emb"]
