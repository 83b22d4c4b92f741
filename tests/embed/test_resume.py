"""An embedding job that is killed, stopped, doubled or handed the wrong file."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest
from evo2_embed.chunk.chunk_table import chunk_bundle
from evo2_embed.embed.store import JOURNAL
from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.model import models
from evo2_embed.model.weights import fetch_model
from evo2_embed.pack.pack_shard import pack_shard
from evo2_embed.run.frozen import plan_run
from runs import CONFIG, SCRIPTS, merged, random_bases, write_fasta

JOB = """
import json, sys
from evo2_embed.embed.embed_shard import embed_shard
from evo2_embed.io.logs import logged_to
from evo2_embed.settings.sections import Runtime
packs, settings = json.loads(sys.argv[1])
runtime = Runtime(checkpoint_every=0, hang_after=60)
with logged_to(sys.argv[2]):
    embed_shard(packs, "model.json", settings, runtime, "out/shard.json", "out/speed.json")
"""
OUTPUTS = ("blocks.2.parquet", "norm.parquet", "shard.json")


class Job:
    """The embedding job of a folder's shard."""

    def __init__(self, folder, settings):
        self.folder, self.settings, self.work = folder, settings, folder / "out" / ".work"

    def start(self, packs="g/00000.parquet", log="log"):
        """Start it; it saves after every pack."""
        return subprocess.Popen(
            [sys.executable, "-c", JOB, json.dumps([packs, self.settings]), log],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(SCRIPTS)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def start_and_wait_for(self, packs):
        """Start it, and wait until this many packs are saved."""
        process = self.start()
        deadline = time.monotonic() + 100
        while self.safe() < packs:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        return process

    def safe(self):
        """Packs in the journal."""
        path = self.work / JOURNAL
        return len(json.loads(path.read_text())["packs"]) if path.exists() else 0

    def run(self, fails=False, **options):
        """Run it to its end; its line on the terminal, and its log."""
        process = self.start(**options)
        _, errors = process.communicate(timeout=200)
        assert (process.returncode != 0) == fails, errors
        return errors, (self.folder / "log").read_text()

    def outputs(self):
        """Contents of the files that are the same in any run."""
        return {name: (self.folder / "out" / name).read_bytes() for name in OUTPUTS}


def end(process):
    process.communicate(timeout=100)
    return process.returncode


def prepare(folder, changes):
    """Pack files of two shards, and what an undisturbed job makes of the first."""
    folder.mkdir()
    before = os.getcwd()
    os.chdir(folder)
    write_fasta("g.fa", [("g", random_bases(48_000, 5))])
    (folder / "genomes.tsv").write_text("genome\tfasta\ng\tg.fa\n")
    run = plan_run(merged(CONFIG, changes))
    windows, genomes = run.settings.windows.to_dict(), [Genome("g", "g.fa")]
    chunk_bundle(genomes, windows, "indexes", "g.parquet", 1)
    packing = {"packing": run.settings.packing.to_dict(), "code": 1}
    for shard in range(2):
        packs = f"g/{shard:05d}.parquet"
        pack_shard(genomes, "g.parquet", shard, 2, packing, "indexes", packs)
    fetch_model(models.TINY, None, "models", "model.json")
    os.chdir(before)
    job = Job(folder, run.embed_settings("default"))
    job.run()
    job.expected = job.outputs()
    assert not job.work.exists()
    shutil.rmtree(folder / "out")
    return job


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    changes = {"windows": {"size": 500, "strands": "both"}, "packing": {"max_tokens": 2000}}
    return prepare(tmp_path_factory.mktemp("resume") / "prepared", changes)


@pytest.fixture
def job(prepared, tmp_path):
    return copy_of(prepared, tmp_path / "job")


def copy_of(prepared, folder):
    shutil.copytree(prepared.folder, folder)
    job = Job(folder, prepared.settings)
    job.expected = prepared.expected
    return job


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_an_ended_job_goes_on_to_the_same_bytes(job, how):
    process = job.start_and_wait_for(3)
    process.send_signal(how)
    assert end(process) != 0
    safe = job.safe()
    assert 3 <= safe < 24
    assert os.listdir(job.folder / "out") == [".work"]
    log = (job.folder / "log").read_text()
    if how != signal.SIGKILL:
        assert f"stopped by {how.name}: {2000 * safe:,} of 48,000 tokens are saved" in log
    _, log = job.run()
    assert f"continuing from {2000 * safe} of 48000 tokens; 0 of {safe} packs" in log
    assert job.outputs() == job.expected
    assert not job.work.exists()


def test_a_killed_job_runs_open_stretches_again_to_the_same_bytes(tmp_path):
    context = {"span": 11_000, "min": 1000}
    changes = {
        "windows": {"size": 500, "stride": 250, "strands": "both", "context": context},
        "packing": {"max_tokens": 2000, "piece": 1300},
        "extractions": {"default": {"layers": ["blocks.2", "norm"], "pooling": {"bin": 200}}},
    }
    job = copy_of(prepare(tmp_path / "prepared", changes), tmp_path / "job")
    process = job.start_and_wait_for(4)
    process.kill()
    end(process)
    _, log = job.run()
    assert "finished packs run again: their stretches were not finished" in log
    assert job.outputs() == job.expected


def test_other_settings_and_other_packs_do_not_go_on(job):
    process = job.start_and_wait_for(2)
    process.kill()
    end(process)
    shutil.copy(job.folder / "g" / "00001.parquet", job.folder / "g" / "kept.parquet")
    _, log = job.run(packs="g/00001.parquet")
    assert "is of other packs, weights or settings: starting from the first pack" in log
    assert "going on" not in log
    assert job.outputs() != job.expected


@pytest.fixture
def two(job):
    """Two jobs of one shard: the first, halted in the middle of its work, and one that waits."""
    first = job.start_and_wait_for(2)
    first.send_signal(signal.SIGSTOP)
    second = job.start(log="second.log")
    deadline = time.monotonic() + 50
    while "waiting" not in read(job.folder / "second.log"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert f"held by process {first.pid} on" in read(job.folder / "second.log")
    return first, second


def read(path):
    return path.read_text() if path.exists() else ""


def test_two_jobs_of_one_shard_do_its_work_once(job, two):
    first, second = two
    first.send_signal(signal.SIGCONT)
    assert end(first) == end(second) == 0
    log = read(job.folder / "second.log")
    assert "another process finished this shard in the meantime" in log
    assert "going on" not in log
    assert job.outputs() == job.expected
    assert not job.work.exists()


def test_a_second_job_takes_over_from_a_killed_one(job, two):
    first, second = two
    safe = job.safe()
    first.kill()
    assert end(first) == -signal.SIGKILL
    assert end(second) == 0
    assert f"continuing from {2000 * safe} of 48000 tokens" in read(job.folder / "second.log")
    assert job.outputs() == job.expected
    assert not job.work.exists()


def test_a_pack_file_in_another_one_s_place_is_refused(job):
    shutil.copy(job.folder / "g" / "00001.parquet", job.folder / "g" / "00000.parquet")
    said, _ = job.run(fails=True)
    assert said.startswith(
        "error: g/00000.parquet: holds the packs of another shard (g/00001); delete"
    )
    assert not job.work.exists()


def test_a_damaged_pack_file_is_refused(job):
    path = job.folder / "g" / "00000.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 4
    path.write_bytes(content)
    said, _ = job.run(fails=True)
    assert said.startswith(
        "error: g/00000.parquet: damaged or changed since it was written; delete"
    )
