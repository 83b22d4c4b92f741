"""Weights: downloaded once and atomically; and the bundled ones."""

import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from pathlib import Path

import pytest
import random_weights
import torch
from evo2_embed.io.digests import file_sha256
from evo2_embed.io.errors import InputError
from evo2_embed.io.files import read_json
from evo2_embed.model import registry
from evo2_embed.model.download import fetch_checkpoint
from evo2_embed.model.weights import check_weights, fetch_model, is_recorded
from evo2_embed.settings.extraction import Model
from hub import hub_server
from runs import SCRIPTS


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
    assert not (tmp_path / "models" / "evo2_7b.pt").exists()


def in_a_process(target, *arguments, user=None):
    """Call a function in a process, as another user if that is possible; its exit status."""

    def call():
        if user is not None and os.geteuid() == 0:
            os.setgid(user)
            os.setuid(user)
        os.umask(0o077)
        target(*arguments)

    job = multiprocessing.get_context("fork").Process(target=call)
    job.start()
    job.join()
    return job.exitcode


@pytest.fixture
def shared():
    """A folder that all users can write."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


def never(**_):
    raise AssertionError("downloaded")


def test_a_killed_download_resumes_also_for_another_user(shared, archive):
    def killed(local_dir, **_):
        Path(local_dir, "evo2_7b.pt.part0").write_bytes(archive[:100])
        os._exit(9)

    def resumed(local_dir, **_):
        assert Path(local_dir, "evo2_7b.pt.part0").read_bytes() == archive[:100]
        with open(Path(local_dir, "evo2_7b.pt.part0"), "ab") as part:
            part.write(archive[100:])

    assert in_a_process(fetch_checkpoint, "evo2_7b", shared, killed) == 9
    assert in_a_process(fetch_checkpoint, "evo2_7b", shared, resumed, user=4321) == 0
    assert (shared / "evo2_7b.pt").read_bytes() == archive
    assert (shared / "evo2_7b.pt").stat().st_mode & 0o777 == 0o666
    assert {path.name for path in shared.iterdir()} == {"evo2_7b.pt", ".evo2_7b.lock"}


def test_another_user_takes_a_lock_that_only_its_owner_may_write(shared, archive):
    (shared / ".evo2_7b.lock").touch(mode=0o444)
    (shared / ".evo2_7b.lock").chmod(0o444)
    stand_in = StandIn(shared / "log", **{"evo2_7b.pt": archive})
    assert in_a_process(fetch_checkpoint, "evo2_7b", shared, stand_in, user=4321) == 0


def test_a_read_only_folder_with_the_weights_is_enough(shared, archive):
    (shared / "evo2_7b.pt").write_bytes(archive)
    (shared / "evo2_7b.pt").chmod(0o444)
    shared.chmod(0o555)
    assert in_a_process(fetch_checkpoint, "evo2_7b", shared, never, user=4321) == 0
    assert [path.name for path in shared.iterdir()] == ["evo2_7b.pt"]


def test_a_read_only_folder_without_the_weights_is_one_line(shared):
    def refused():
        with pytest.raises(InputError, match="cannot be written.* no evo2_7b.pt.*model_directory"):
            fetch_checkpoint("evo2_7b", shared, never)

    shared.chmod(0o555)
    assert in_a_process(refused, user=4321) == 0


def test_the_client_of_the_hub_resumes_and_leaves_the_home_folder_alone(tmp_path, archive):
    """The real client, killed while a server like the hub sends the second part."""
    parts = {"evo2_7b.pt.part0": archive[:5000], "evo2_7b.pt.part1": archive[5000:]}
    first, second = parts
    scratch, home = tmp_path / "models" / ".evo2_7b.download", tmp_path / "home"
    home.mkdir()
    code = (
        "from pathlib import Path; from evo2_embed.model.download import fetch_checkpoint; "
        "fetch_checkpoint('evo2_7b', Path('models'))"
    )
    with hub_server(parts, stops_at=second) as (endpoint, sent):
        environment = {**os.environ, "PYTHONPATH": str(SCRIPTS), "HOME": str(home)}
        environment |= {"HF_ENDPOINT": endpoint, "HF_HUB_DISABLE_XET": "1"}
        environment["HF_HUB_OFFLINE"] = "0"
        command = [sys.executable, "-c", code]
        job = subprocess.Popen(command, cwd=tmp_path, env=environment)
        while not (second in sent and (scratch / first).exists()):
            assert job.poll() is None
            time.sleep(0.05)
        job.kill()
        job.wait()
        assert len(list(scratch.rglob("*.incomplete"))) == 1
        subprocess.run(command, cwd=tmp_path, env=environment, check=True)
    assert sorted(sent) == [first, second, second]
    assert (tmp_path / "models" / "evo2_7b.pt").read_bytes() == archive
    assert visible(tmp_path) == ["evo2_7b.pt"]
    assert list(home.rglob("*")) == []


def test_a_killed_download_leaves_no_unfinished_files_for_good(tmp_path, archive):
    unfinished = tmp_path / "models" / ".evo2_7b.download" / ".cache" / "x.incomplete"
    unfinished.parent.mkdir(parents=True)
    unfinished.touch()

    def download(local_dir, **_):
        assert not unfinished.exists()
        Path(local_dir, "evo2_7b.pt").write_bytes(archive)

    fetch_checkpoint("evo2_7b", tmp_path / "models", download)


def test_a_record_holds_until_a_newer_checkpoint_has_other_bytes(tmp_path, archive):
    record, weights = tmp_path / "record.json", tmp_path / "weights.pt"
    weights.write_bytes(archive)
    model = Model(checkpoint=str(weights))
    assert not is_recorded(model, record)
    fetch_model(model, "models", record)
    assert read_json(record) == {"name": model.name, "sha256": file_sha256(weights)}
    assert is_recorded(model, record)
    os.utime(weights, (9e9, 9e9))
    assert is_recorded(model, record)
    weights.write_bytes(archive + b"x")
    with pytest.raises(InputError, match=f"differs from .* delete {record} and rerun"):
        check_weights(weights, record)
    os.utime(weights, (9e9, 9e9))
    assert not is_recorded(model, record)


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
