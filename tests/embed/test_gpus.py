"""One process, one GPU, with pretend devices: claims of several processes at once."""

import os
import re
import signal
import subprocess
import sys
import time

import pytest
from evo2_embed.doctor.devices import device_findings
from evo2_embed.doctor.findings import ok
from evo2_embed.embed import gpus
from evo2_embed.io.errors import InputError
from runs import SCRIPTS, Workflow, random_bases, write_fasta

CLAIM = """
import logging, os, sys, time
from pathlib import Path
from evo2_embed.embed.gpus import claim_gpus
logging.basicConfig(level=logging.INFO, stream=sys.stdout, format="%(message)s")
claim_gpus(int(sys.argv[2]), Path(sys.argv[1]))
assert "torch" not in sys.modules
print("has", os.environ.get("CUDA_VISIBLE_DEVICES"), flush=True)
time.sleep(float(sys.argv[3]))
"""


@pytest.fixture
def start(tmp_path):
    """A function that starts a process that claims GPUs and keeps them."""
    started = []

    def start(visible="0,1,2,3", count=1, path="", seconds=60, **environment):
        environment |= {"PYTHONPATH": str(SCRIPTS), "PATH": path}
        if visible is not None:
            environment["CUDA_VISIBLE_DEVICES"] = visible
        process = subprocess.Popen(
            [sys.executable, "-c", CLAIM, str(tmp_path / "locks"), str(count), str(seconds)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture
def driver(tmp_path, monkeypatch):
    """A function that puts a stand-in for nvidia-smi first on the path; that path."""

    def driver(*lines, status=0):
        folder = tmp_path / "bin"
        folder.mkdir(exist_ok=True)
        text = "\n".join(("#!/bin/sh", *(f"echo '{line}'" for line in lines), f"exit {status}"))
        (folder / "nvidia-smi").write_text(text + "\n")
        (folder / "nvidia-smi").chmod(0o755)
        monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
        return os.environ["PATH"]

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return driver


def says(process, word):
    """The rest of the first line that starts with a word."""
    for line in process.stdout:
        if line.startswith(word):
            return line.removeprefix(word).strip()
    raise AssertionError(f"no line starts with '{word}'")


def test_four_at_once_get_four_and_a_fifth_waits_for_a_killed_one(start):
    processes = [start() for _ in range(4)]
    names = [says(process, "has") for process in processes]
    assert sorted(names) == ["0", "1", "2", "3"]
    fifth = start()
    assert "(0, 1, 2, 3): waiting" in says(fifth, "other jobs use the GPUs")
    processes[2].send_signal(signal.SIGKILL)
    assert says(fifth, "has") == names[2]


def test_a_stopped_process_keeps_its_gpu(start):
    first = start("0")
    assert says(first, "has") == "0"
    first.send_signal(signal.SIGSTOP)
    second = start("0")
    says(second, "other jobs")
    time.sleep(1.5)
    assert second.poll() is None
    first.send_signal(signal.SIGKILL)
    assert says(second, "has") == "0"


def test_a_program_that_the_job_started_does_not_keep_the_gpu(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    code = CLAIM.replace(
        "time.sleep(float(sys.argv[3]))",
        "import subprocess; child = subprocess.Popen(['sleep', '60'], stdout=-3); print(child.pid)",
    )
    output = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "locks"), "1"],
        env={**os.environ, "PYTHONPATH": str(SCRIPTS)},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout
    child = int(output.split()[-1])
    try:
        assert gpus.claim_gpus(1, tmp_path / "locks", wait=False) == ["0"]
    finally:
        os.kill(child, signal.SIGKILL)


def test_several_gpus_are_taken_together_or_not_at_all(start):
    first = start("0,1,2", 2)
    assert says(first, "has") == "0,1"
    second = start("0,1,2", 2)
    says(second, "other jobs")
    third = start("0,1,2", 1)
    assert says(third, "has") == "2"
    first.kill()
    assert says(second, "has") == "0,1"


def test_jobs_that_want_two_of_two_do_not_block_each_other(start):
    processes = [start(visible, 2, seconds=0.5) for visible in ("0,1", "1,0", "0,1")]
    for process in processes:
        assert says(process, "has") in ("0,1", "1,0")
        assert process.wait(10) == 0


def test_a_gpu_is_the_same_whatever_its_name(start, driver):
    path = driver("GPU 0: X (UUID: GPU-aaaa-1)", "GPU 1: X (UUID: GPU-bbbb-2)")
    assert says(start("1", path=path), "has") == "1"
    assert says(start("GPU-bbbb,GPU-aaaa", path=path), "has") == "GPU-aaaa"
    says(start(None, path=path), "other jobs use the GPUs of this machine (GPU-aaaa-1, GPU-bbbb-2")


def test_jobs_of_a_scheduler_keep_to_what_it_gave_them(start):
    """Control groups may number every job's GPU 0: these are two GPUs."""
    assert says(start("0", SLURM_JOB_ID="1"), "has") == "0"
    assert says(start("0", SLURM_JOB_ID="2"), "has") == "0"
    assert says(start("0", PBS_JOBID="2"), "has") == "0"
    # A Snakemake inside a job of one GPU, that starts too many.
    says(start("0", SLURM_JOB_ID="1"), "other jobs")


def test_a_scheduler_that_gives_no_gpus_out_is_not_trusted(start):
    assert says(start("0,1", SLURM_JOB_ID="1"), "has") == "0"
    assert says(start("0,1", SLURM_JOB_ID="2"), "has") == "1"


def test_what_is_visible(driver, monkeypatch):
    driver(
        "GPU 0: A (UUID: GPU-a)",
        "  MIG 3g.20gb     Device  0: (UUID: MIG-x)",
        "  MIG 3g.20gb     Device  1: (UUID: MIG-y)",
        "GPU 1: B (UUID: GPU-b)",
    )
    assert [gpu.name for gpu in gpus.visible_gpus()] == ["MIG-x", "MIG-y", "GPU-b"]
    for given, keys in {
        "": [],
        "NoDevFiles": [],
        "1,-1,0": ["GPU-b"],
        "GPU-b, MIG-y": ["GPU-b", "MIG-y"],
        "1,1": ["GPU-b"],
        "0,7": ["MIG-x", "number-7"],
    }.items():
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
        assert [gpu.key for gpu in gpus.visible_gpus()] == keys, given


GIVEN = (
    "0",
    "3",
    "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6",
    "MIG-af8d6ac8-5a3b-5b4c-9f2e-3a0f0a3b6c11",
    "MIG-GPU-8932f937-d72c-4106-c12f-20bd9faed9f6/7/0",
    "GPU-8932f937-d72c-4106-c12f-20bd9faed9f6,MIG-af8d6ac8-5a3b-5b4c-9f2e-3a0f0a3b6c11",
)


@pytest.mark.parametrize("given", GIVEN)
@pytest.mark.parametrize("has_driver", [True, False])
def test_a_job_takes_what_its_scheduler_gave_whatever_the_name(
    driver, tmp_path, monkeypatch, given, has_driver
):
    """Also if it asked in another way than by the resource `gpu`, which is then 0."""
    if has_driver:
        driver(
            "GPU 0: A (UUID: GPU-8932f937-d72c-4106-c12f-20bd9faed9f6)",
            "  MIG 1g.10gb     Device  0: (UUID: MIG-af8d6ac8-5a3b-5b4c-9f2e-3a0f0a3b6c11)",
        )
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    for job in ({"SLURM_JOB_ID": "5", "SLURM_STEP_GPUS": "0"}, {"LSB_JOBID": "5"}):
        with monkeypatch.context() as environment:
            for name, value in job.items():
                environment.setenv(name, value)
            wanted = gpus.wanted_gpus(0, "auto")
            assert gpus.claim_gpus(wanted, tmp_path / "locks", wait=False) == given.split(",")
            assert os.environ["CUDA_VISIBLE_DEVICES"] == given


@pytest.mark.parametrize(
    ("asked", "device", "environment", "wanted"),
    [
        (1, "cuda", {}, 1),
        (2, "auto", {"SLURM_JOB_ID": "5", "SLURM_JOB_GPUS": "0"}, 2),
        (0, "cuda", {"SLURM_JOB_ID": "5", "SLURM_JOB_GPUS": "0,1"}, 2),
        # SLURM passed on what the login node had.
        (0, "auto", {"SLURM_JOB_ID": "5"}, 0),
        (0, "auto", {"PBS_JOBID": "5", "CUDA_VISIBLE_DEVICES": ""}, 0),
        (0, "auto", {}, 0),
        (1, "cpu", {"SLURM_JOB_ID": "5", "SLURM_JOB_GPUS": "0"}, 0),
    ],
)
def test_how_many_gpus_a_job_claims(monkeypatch, asked, device, environment, wanted):
    for name, value in ({"CUDA_VISIBLE_DEVICES": "0,1"} | environment).items():
        monkeypatch.setenv(name, value)
    assert gpus.wanted_gpus(asked, device) == wanted


def test_a_driver_that_does_not_answer_is_no_driver(driver, caplog):
    driver("Failed to initialize NVML: Driver/library version mismatch", status=18)
    assert gpus.driver_gpus() == []
    assert "nvidia-smi -L failed" in caplog.text


def test_none_wanted_hides_all_and_too_many_wanted_is_said(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    with pytest.raises(InputError, match=r"asks for 3 GPUs and sees 2 \(0, 1\)"):
        gpus.claim_gpus(3, tmp_path / "locks")
    assert gpus.claim_gpus(0, tmp_path / "locks") == []
    assert os.environ["CUDA_VISIBLE_DEVICES"] == ""
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert device_findings("cpu", "fp32", 0) == [ok("GPU", "none: the CPU runs the model")]


def test_the_folder_serves_several_users(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    mask = os.umask(0o077)
    try:
        gpus.claim_gpus(1, tmp_path / "locks")
    finally:
        os.umask(mask)
    assert (tmp_path / "locks").stat().st_mode & 0o7777 == 0o1777
    (file,) = (tmp_path / "locks").iterdir()
    assert file.stat().st_mode & 0o7777 == 0o644
    assert file.stat().st_size == 0


@pytest.mark.parametrize("trap", ["link", "file", "private", "lock is a link", "lock is a pipe"])
def test_traps_are_refused_and_nothing_is_written_through_them(tmp_path, monkeypatch, trap):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    locks, elsewhere = tmp_path / "locks", tmp_path / "elsewhere"
    elsewhere.mkdir()
    if trap == "link":
        locks.symlink_to(elsewhere)
    elif trap == "file":
        locks.touch()
    else:
        locks.mkdir()
        locks.chmod(0o755 if trap == "private" else 0o1777)
    if trap == "lock is a link":
        (locks / "number-0").symlink_to(elsewhere / "made")
        (locks / "nvidia0").symlink_to(elsewhere / "made")
    if trap == "lock is a pipe":
        os.mkfifo(locks / "number-0")
    monkeypatch.setattr(gpus, "_device_files", list)
    monkeypatch.setattr(gpus, "driver_gpus", list)
    with pytest.raises(InputError, match=re.escape(str(locks))):
        gpus.claim_gpus(1, locks)
    assert not list(elsewhere.iterdir())


def test_every_job_of_a_run_has_a_gpu_of_its_own_and_a_run_on_the_cpu_hides_them(tmp_path):
    flow = Workflow(tmp_path / "flow")
    write_fasta(flow.folder / "any.fa", [("any", random_bases(800, 1))])
    flow.sheet({"any": "any.fa"})
    small = {"extractions": {"default": {"layers": ["blocks.0"]}}, "sharding": {"shards": 2}}
    flow.configure(**small)
    pretend = [f"GPU-pretend-{os.getpid()}-{number}" for number in range(2)]
    flow.environment = {"CUDA_VISIBLE_DEVICES": ",".join(pretend)}
    flow.run("--until", "embed_shard", "--resources", "gpu=2")
    logs = [path.read_text() for path in (flow.folder / "logs" / "embed_shard").rglob("*.log")]
    told = [re.search(r"this job uses GPU (\S+) \(of 2 visible\)", text)[1] for text in logs]
    assert sorted(told) == pretend
    flow.configure(**small, runtime={"device": "cpu"})
    planned = flow.run("-n", "--until", "embed_shard")
    assert re.findall(r"^ +resources: .*gpu=(\d)", planned, re.M) == ["0", "0"]


def test_a_folder_without_locks_is_one_line(tmp_path, monkeypatch):
    def no_locks(*_):
        raise OSError(37, "No locks available")

    monkeypatch.setattr("fcntl.flock", no_locks)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    with pytest.raises(InputError, match="locks: its file system has no locks"):
        gpus.claim_gpus(1, tmp_path / "locks")
