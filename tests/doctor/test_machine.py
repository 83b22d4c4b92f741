"""Checks of a machine: each passes and fails as it should, with stand-ins."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from evo2_embed.doctor import checks, devices, prompts, software, storage
from evo2_embed.doctor.findings import fail, failed, lines, log_and_stop, ok, warn
from evo2_embed.embed import gpus
from evo2_embed.export import packages
from evo2_embed.io.errors import InputError
from evo2_embed.io.files import write_json
from evo2_embed.model import registry
from evo2_embed.model.import_evo2 import FLASH
from evo2_embed.settings.extraction import Model
from runs import CONFIG, ROOT, SCRIPTS, Workflow, merged, random_bases, write_fasta

GB = 10**9
TINY = Model()


def states(findings):
    return {finding.what: finding.state for finding in findings}


@pytest.fixture
def cuda(monkeypatch):
    """A function that makes torch show pretend GPUs."""

    def cuda(count=1, capability=(9, 0), total=80 * GB, free=79 * GB):
        properties = SimpleNamespace(total_memory=total)
        for name, value in {
            "is_available": count > 0,
            "device_count": count,
            "get_device_capability": capability,
            "get_device_name": "Pretend 100",
            "get_device_properties": properties,
            "mem_get_info": (free, total),
        }.items():
            monkeypatch.setattr(torch.cuda, name, lambda *_, value=value: value)

    cuda(0)
    monkeypatch.setattr(devices, "has_driver", lambda: False)
    monkeypatch.setattr(devices, "visible_gpus", list)
    for name in ("SLURM_JOB_ID", "LSB_JOBID", "PBS_JOBID", "FLUX_JOB_ID"):
        monkeypatch.delenv(name, raising=False)
    return cuda


@pytest.fixture
def pinned(tmp_path, monkeypatch):
    """A function that replaces the pins in envs/."""

    def pinned(**versions):
        text = "".join(f"{name}=={version}\n" for name, version in versions.items())
        (tmp_path / "requirements.txt").write_text(f"{text}\n# Dependencies of these.\nsix==0.0\n")
        monkeypatch.setattr(software, "ENVS", tmp_path)

    return pinned


def test_findings_are_one_line_each_and_a_failure_ends_the_job_with_all_of_them(caplog):
    findings = [ok("a", "x"), warn("long", "y"), fail("c", "z"), fail("d", "w")]
    assert lines(findings).split("\n")[:2] == ["OK    a     x", "WARN  long  y"]
    with pytest.raises(InputError, match="^c: z; d: w$"):
        log_and_stop(findings)
    assert "long: y" in caplog.text


def test_this_environment_is_as_pinned():
    findings = [software.python_finding(), *software.package_findings(gpu=False)]
    assert set(states(findings).values()) == {"OK"}, lines(findings)
    assert set(states(findings)) == {"Python", "evo2", "vtx", "torch", "triton", "packages"}


def test_the_pins_for_gpus_are_read():
    file, pins = software.read_pins(gpu=True)
    assert file == "envs/requirements-gpu.txt"
    assert pins["evo2"] == software.read_pins(gpu=False)[1]["evo2"]
    assert pins["torch"] != software.read_pins(gpu=False)[1]["torch"]
    assert "transformer_engine" not in pins  # commented out


@pytest.mark.parametrize("name", ["evo2", "vtx"])
def test_another_version_of_the_model_s_code_fails(pinned, name):
    pinned(**{**dict.fromkeys(("evo2", "vtx"), "0"), "torch": "0", "numpy": "0"})
    found = {finding.what: finding for finding in software.package_findings(gpu=False)}
    assert found[name].state == "FAIL"
    assert "pins 0" in found[name].text
    assert sys.prefix in found[name].text
    assert found["torch"].state == found["packages"].state == "WARN"
    assert "six" not in found["packages"].text


def test_a_package_that_is_missing_fails(pinned, monkeypatch):
    pinned(evo2="0.6.0", nothing="1")
    monkeypatch.setattr(software, "installed", lambda name: None)
    found = states(software.package_findings(gpu=False))
    assert found["evo2"] == found["triton"] == "FAIL"
    assert found["packages"] == "OK"  # a rule's environment may have fewer


def test_python_that_was_not_tried():
    assert software.python_finding((3, 10)).state == "FAIL"
    assert software.python_finding((3, 11)).state == "OK"
    assert software.python_finding((3, 14)).state == "WARN"


def test_code_that_cannot_be_imported_fails(monkeypatch):
    assert software.import_finding().state == "OK"

    def broken():
        raise ImportError("libcudart.so.12: cannot open shared object file")

    monkeypatch.setattr("evo2_embed.model.import_evo2.import_evo2", broken)
    assert "libcudart" in software.import_finding().text
    assert software.import_finding().state == "FAIL"


def test_a_gpu_that_is_fit(cuda):
    cuda()
    findings = devices.device_findings("auto", "bf16", 1)
    assert set(states(findings).values()) == {"OK"}
    assert "Pretend 100 (9.0)" in findings[0].text


@pytest.mark.parametrize(
    ("precision", "capability", "fit"),
    [
        ("fp32", (7, 0), True),
        ("bf16", (7, 5), False),
        ("bf16", (8, 0), True),
        ("fp8", (8, 6), False),
        ("fp8", (8, 9), True),
    ],
)
def test_what_a_precision_needs(cuda, monkeypatch, precision, capability, fit):
    cuda(capability=capability)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    findings = devices.device_findings("auto", precision, 1)
    assert bool(failed(findings)) != fit
    if not fit:
        assert "compute capability" in findings[0].text


def test_fp8_needs_transformer_engine(cuda):
    cuda()
    (finding,) = devices.device_findings("auto", "fp8", 1)
    assert finding.state == "FAIL"
    assert "transformer_engine" in finding.text


@pytest.mark.parametrize("there", [True, False])
def test_flash_attention_is_used_where_it_is_there_and_not_needed(cuda, monkeypatch, there):
    cuda()
    functions = {"varlen_fwd": print} if there else {}
    monkeypatch.setitem(sys.modules, FLASH, SimpleNamespace(**functions))
    found = {x.what: x for x in devices.device_findings("auto", "bf16", 1)}["flash-attn"]
    assert found.state == "OK"
    assert ("PyTorch's own attention" in found.text) is not there


@pytest.mark.parametrize(("compiler", "state"), [("/usr/bin/gcc", "OK"), (None, "WARN")])
def test_triton_needs_a_compiler(cuda, monkeypatch, compiler, state):
    cuda()
    monkeypatch.setattr(shutil, "which", lambda name: compiler)
    monkeypatch.setattr(Path, "exists", lambda path: True)
    assert states(devices.device_findings("auto", "bf16", 1))["Triton kernels"] == state


def test_kernels_that_cannot_run_are_refused(cuda, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    assert states(devices.device_findings("auto", "fp32", 0, "triton"))["Triton kernels"] == "FAIL"
    assert "Triton kernels" not in states(devices.device_findings("auto", "fp32", 0, "auto"))
    cuda()
    monkeypatch.setattr(shutil, "which", lambda name: None)
    for kernels, state in {"triton": "FAIL", "auto": "WARN", "torch": "OK"}.items():
        found = states(devices.device_findings("auto", "bf16", 1, kernels))
        assert found["Triton kernels"] == state


@pytest.mark.parametrize(("seen", "wanted"), [(4, 1), (1, 2)])
def test_a_job_sees_as_many_gpus_as_it_asked_for(cuda, seen, wanted):
    cuda(seen)
    assert states(devices.device_findings("cuda", "bf16", wanted))["GPUs visible"] == "FAIL"
    assert states(devices.device_findings("cuda", "bf16", seen))["GPUs visible"] == "OK"


def test_no_gpu(cuda, monkeypatch):
    assert devices.device_findings("auto", "fp32", 1)[0].state == "OK"
    assert devices.device_findings("cuda", "fp32", 1)[0].state == "FAIL"
    assert devices.device_findings("auto", "bf16", 1)[0].state == "FAIL"
    monkeypatch.setenv("SLURM_JOB_ID", "1")
    assert devices.device_findings("auto", "fp32", 1)[0].state == "WARN"


def test_a_gpu_that_torch_does_not_see(cuda, monkeypatch):
    monkeypatch.setattr(devices, "visible_gpus", lambda: [gpus.Gpu("0", "GPU-a")])
    (finding,) = devices.device_findings("auto", "fp32", 1)
    assert finding.state == "WARN"
    assert "no NVIDIA driver" in finding.text
    monkeypatch.setattr(devices, "has_driver", lambda: True)
    (finding,) = devices.device_findings("auto", "fp32", 1)
    assert finding.state == "FAIL"
    assert f"torch {torch.__version__}" in finding.text
    assert devices.device_findings("cpu", "fp32", 0)[0].state == "OK"


def test_device_cpu_where_vortex_would_take_a_gpu(cuda):
    cuda()
    (finding,) = devices.device_findings("cpu", "fp32", 0)
    assert finding.state == "FAIL"
    assert "CUDA_VISIBLE_DEVICES" in finding.text


@pytest.mark.parametrize(
    ("weights", "precision", "count", "free", "said"),
    [
        (14 * GB, "bf16", 1, 79 * GB, None),
        (60 * GB, "fp32", 1, 79 * GB, "a larger GPU"),
        (81 * GB, "fp8", 1, 79 * GB, "a larger GPU"),
        (81 * GB, "fp8", 2, 79 * GB, None),
        (14 * GB, "bf16", 1, 10 * GB, "other processes"),
    ],
)
def test_memory_of_gpus(cuda, weights, precision, count, free, said):
    cuda(count, free=free)
    finding = devices.gpu_memory_finding(weights, precision)
    assert finding.state == ("FAIL" if said else "OK")
    assert said is None or said in finding.text


def test_memory_of_the_machine(monkeypatch):
    assert storage.memory_finding(10**6).state == "OK"
    monkeypatch.setattr("evo2_embed.engine.memory.free_host_bytes", lambda: 5 * GB)
    assert storage.memory_finding(4 * GB).state == "OK"
    finding = storage.memory_finding(6 * GB)
    assert finding.state == "FAIL"
    assert "mem_mb" in finding.text


def test_weights(tmp_path):
    assert storage.weights_finding(TINY, "models").state == "OK"
    cut = tmp_path / "cut.pt"
    cut.write_bytes(registry.bundled_checkpoint().read_bytes()[:-100])
    named = Model(checkpoint=str(cut))
    assert "not a complete checkpoint" in storage.weights_finding(named, "models").text
    cut.unlink()
    assert "no such file" in storage.weights_finding(named, "models").text
    assert storage.weights_finding(named, "models").state == "FAIL"


def test_weights_against_the_record_of_a_run(tmp_path):
    record = tmp_path / "record.json"
    write_json(record, {"sha256": storage.file_sha256(registry.bundled_checkpoint())})
    assert "the same as in" in storage.weights_finding(TINY, "models", str(record)).text
    write_json(record, {"sha256": "0" * 64})
    assert storage.weights_finding(TINY, "models", str(record)).state == "WARN"


def test_weights_that_are_still_to_be_fetched(tmp_path, monkeypatch):
    model = Model(name="evo2_7b")
    folder = tmp_path / "not" / "yet"
    usage = SimpleNamespace(free=20 * GB)
    monkeypatch.setattr(storage.shutil, "disk_usage", lambda path: usage)
    assert storage.weights_finding(model, str(folder)).state == "WARN"
    usage.free = 10 * GB
    assert storage.weights_finding(model, str(folder)).state == "FAIL"
    folder.mkdir(parents=True)
    shutil.copy(registry.bundled_checkpoint(), folder / "evo2_7b.pt")
    assert storage.weights_finding(model, str(folder)).state == "OK"


def test_disk_against_the_plan(tmp_path):
    folder = str(tmp_path / "results")
    assert storage.disk_finding(folder, None).state == "OK"
    assert storage.disk_finding(folder, 1000).state == "OK"
    assert storage.disk_finding(folder, 10**18).state == "FAIL"
    free = storage.shutil.disk_usage(tmp_path).free
    assert storage.disk_finding(folder, int(1.1 * free)).state == "WARN"


def test_temporary_files(monkeypatch):
    assert storage.temporary_finding().state == "OK"
    free = storage.shutil.disk_usage(storage.tempfile.gettempdir()).free
    assert storage.temporary_finding(free // 2).state == "OK"
    assert storage.temporary_finding(int(1.1 * free)).state == "WARN"
    finding = storage.temporary_finding(10**18)
    assert finding.state == "FAIL"
    assert "a job needs about 1000000.0 TB" in finding.text
    assert "set TMPDIR" in finding.text
    monkeypatch.setattr(storage.tempfile, "tempdir", "/nowhere")
    assert storage.temporary_finding().state == "FAIL"


def test_a_cache_that_cannot_be_written(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "not" / "yet"))
    assert storage.cache_finding().state == "OK"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    # As for an ordinary user; root may write everywhere.
    monkeypatch.setattr(storage.os, "access", lambda path, mode: path != tmp_path)
    finding = storage.cache_finding()
    assert finding.state == "FAIL"
    assert "set XDG_CACHE_HOME" in finding.text


def test_the_package_has_prompts_and_their_losses():
    table, tolerance = prompts.published()
    assert (
        {"evo2_7b", "evo2_40b", "evo2_20b", "evo2_1b_base"}
        <= set(table)
        <= set(registry.model_names())
    )
    assert all(0 < value["loss"] < 1 and 50 < value["acc"] < 100 for value in table.values())
    assert 0 < tolerance < prompts.NEAR
    sequences = prompts.read_prompts()
    assert len(sequences) > 1
    assert all(set(sequence) <= set("ACGTN") for sequence in sequences)


def test_the_loss_against_a_stand_in_for_the_published_one(tmp_path, evo2, monkeypatch):
    """Computed here, token by token, from what Evo2.forward gives."""
    sequences = [random_bases(length, length) for length in (60, 100)]
    (tmp_path / "data").mkdir()
    text = "".join(f"{sequence},x,1\n" for sequence in sequences)
    (tmp_path / "data" / "prompts.csv").write_text(f"Sequence,Name,Percent\n{text}")
    device = next(evo2.model.parameters()).device
    losses, hits = [], []
    for sequence in sequences:
        ids = list(sequence.encode())
        logits = evo2.forward(torch.tensor([ids], device=device))[0][0][0].double().cpu()
        rows = [(logits[i], ids[i + 1]) for i in range(len(ids) - 1)]
        losses.append(
            sum(float(row.logsumexp(0) - row[wanted]) for row, wanted in rows) / len(rows)
        )
        hits.append(100 * sum(int(row.argmax()) == wanted for row, wanted in rows) / len(rows))
    loss, accuracy = sum(losses) / 2, sum(hits) / 2
    found = prompts.mean_loss(evo2, sequences)
    assert found == pytest.approx((loss, accuracy), rel=1e-5)
    monkeypatch.setattr("evo2_embed.model.loading.load_model", lambda *_: evo2)

    def finding(published):
        table = {registry.TINY: {"loss": published, "acc": accuracy}}
        (tmp_path / "test_evo2.py").write_text(
            f"raise SystemExit\n\ndef main():\n    eps = 1e-3\n    expected_metrics = {table}\n"
        )
        return prompts.loss_finding(registry.TINY, registry.bundled_checkpoint(), "fp32", tmp_path)

    assert finding(loss + 0.0005).state == "OK"
    assert finding(loss - 0.005).state == "WARN"
    assert finding(loss + 0.02).state == "FAIL"


def test_a_model_without_a_published_loss(tmp_path):
    finding = prompts.loss_finding(registry.TINY, registry.bundled_checkpoint(), "fp32", tmp_path)
    assert finding.state == "OK"
    assert "no loss" in finding.text


@pytest.fixture
def config(tmp_path, monkeypatch):
    """A valid configuration, in the working folder."""
    monkeypatch.chdir(tmp_path)
    write_fasta("any.fa", [("any", "ACGT" * 100)])
    (tmp_path / "genomes.tsv").write_text("genome\tfasta\nany\tany.fa\n")
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    return tmp_path / "config.yaml"


def test_the_doctor_finds_this_machine_fit(config):
    findings = checks.check_machine(str(config))
    assert not failed(findings), lines(findings)
    assert states(findings).keys() >= {"config", "evo2", "disk", "weights of evo2_tiny", "GPU"}
    assert len({finding.what for finding in findings}) == len(findings)


def test_the_doctor_names_the_packages_that_an_export_needs(config, monkeypatch):
    config.write_text(yaml.safe_dump(merged(CONFIG, {"export": ["anndata", "lance", "bigwig"]})))
    monkeypatch.setattr(packages, "find_spec", lambda name: None)
    found = [f.text for f in failed(checks.check_machine(str(config))) if f.what == "packages"]
    assert [text.split(": the package ")[0] for text in found] == [
        "export: anndata",
        "export: bigwig",
        "export: lance",
    ]
    assert "run `make export-env`" in found[0]


def test_a_long_finding_goes_on_below_its_status():
    text = "free disk space, or set fewer layers, " * 5
    shown = lines([fail("weights of evo2_7b", text), ok("a", "x")]).splitlines()
    assert shown[0].startswith("FAIL  weights of evo2_7b  free disk")
    assert all(line.startswith("      ") for line in shown[1:-1])
    assert max(map(len, shown)) <= 100


def test_the_doctor_goes_on_after_a_bad_config(config):
    config.write_text("genomes: none.tsv\nextractions: {x: {layers: [blocks.99]}}\n")
    findings = checks.check_machine(str(config))
    assert sum(finding.what == "config" for finding in findings) == 2
    assert states(findings)["import"] == "OK"
    missing = checks.check_machine("missing.yaml")
    assert [finding.what for finding in failed(missing)] == ["config"]


def test_what_a_run_has_yet_to_write_is_its_plan_without_what_is_there(config, monkeypatch):
    run = checks.plan_run(CONFIG)
    needed = checks.missing_bytes(run)
    assert needed > 1000
    os.mkdir("results")
    with open("results/some", "wb") as file:
        file.write(b"x" * 400)
    assert checks.missing_bytes(run) == needed - 400

    class Usage:
        free = 100

    monkeypatch.setattr(storage.shutil, "disk_usage", lambda _: Usage)
    assert "disk" in [finding.what for finding in failed(checks.check_machine(str(config)))]
    with pytest.raises(InputError, match="100 B free in results, about .* needed"):
        checks.check_run(TINY, "models", run)


def test_the_doctor_leaves_gpus_of_jobs_alone(config, monkeypatch):
    def taken(count, wait):
        raise gpus.GpusTakenError("other jobs have the GPUs")

    monkeypatch.setattr(checks, "claim_gpus", taken)
    findings = checks.check_machine(str(config))
    assert findings[-1] == warn("GPU", "other jobs have the GPUs: they were not checked")


def test_the_doctor_takes_the_loss_of_real_weights_on_a_gpu(config, cuda, monkeypatch):
    cuda()
    asked = []
    monkeypatch.setattr(checks, "claim_gpus", lambda count, wait: None)
    monkeypatch.setattr(checks, "import_finding", lambda: ok("import", ""))
    monkeypatch.setattr(checks, "loss_finding", lambda *x: asked.append(x) or ok("loss", ""))
    extraction = {"layers": ["norm"], "precision": "bf16", "model": {"name": "evo2_7b"}}
    config.write_text(yaml.safe_dump({**CONFIG, "extractions": {"a": extraction}}))
    checks.check_machine(str(config))
    assert not asked  # not fetched yet
    (config.parent / "models").mkdir()
    weights = config.parent / "models" / "evo2_7b.pt"
    shutil.copy(registry.bundled_checkpoint(), weights)
    assert states(checks.check_machine(str(config)))["loss"] == "OK"
    assert asked == [("evo2_7b", weights.relative_to(config.parent), "bf16")]


def test_the_doctor_on_the_command_line(config):
    def doctor(*arguments):
        return subprocess.run(
            [sys.executable, str(SCRIPTS / "check_machine.py"), *arguments],
            capture_output=True,
            text=True,
        )

    well, ill = doctor("config.yaml"), doctor("missing.yaml", "--json")
    assert (well.returncode, ill.returncode) == (0, 1)
    assert all(line.startswith(("OK ", "WARN ", "      ")) for line in well.stdout.splitlines())
    checks = json.loads(ill.stdout)["checks"]
    assert [check["what"] for check in checks if check["state"] == "FAIL"] == ["config"]
    assert well.stderr == ""
    assert not (config.parent / "activations_debug.log").exists()
    assert "check_machine.py" in (ROOT / "Makefile").read_text()


@pytest.fixture
def flow(tmp_path):
    flow = Workflow(tmp_path / "flow")
    write_fasta(flow.folder / "any.fa", [("any", random_bases(500, 1))])
    flow.sheet({"any": "any.fa"})
    flow.configure()
    return flow


def test_a_check_that_fails_stops_the_run_and_costs_no_shards(flow):
    flow.run("--until", "embed_shard")
    records = flow.files("machine/*.json")
    (record,) = records.values()
    assert {x["state"] for x in json.loads(record)["checks"]} <= {"OK", "WARN"}
    extraction = {"layers": ["norm"], "model": {"checkpoint": "cut.pt"}}
    flow.configure(extractions={**CONFIG["extractions"], "new": extraction})
    (flow.folder / "cut.pt").write_bytes(b"PK")
    output = flow.run("--until", "embed_shard", fails=True)
    assert "error: weights of evo2_tiny: cut.pt: not a complete checkpoint" in output
    assert flow.files("machine/*.json") == records
    assert not flow.files("models/evo2_tiny-*.json")  # nothing that needs the check has run
    shutil.copy(registry.bundled_checkpoint(), flow.folder / "cut.pt")
    jobs = flow.planned("--until", "embed_shard")
    assert jobs == {"check_machine": 1, "fetch_model": 1, "embed_shard": 1}
    flow.configure()
    assert not flow.planned("--until", "embed_shard")


def test_a_job_in_an_environment_that_cannot_use_its_gpu_fails_at_once(flow):
    tools = flow.folder / "bin"
    tools.mkdir()
    pretend = f"GPU-pretend-{os.getpid()}"
    (tools / "nvidia-smi").write_text(f"#!/bin/sh\necho 'GPU 0: X (UUID: {pretend})'\n")
    (tools / "nvidia-smi").chmod(0o755)
    flow.environment = {"PATH": f"{tools}:{os.environ['PATH']}", "CUDA_VISIBLE_DEVICES": "0"}
    output = flow.run("--until", "embed_shard", fails=True)
    (line,) = {line for line in output.splitlines() if line.startswith("error:")}
    assert "0 and a driver exist, but torch" in line
    assert "self-check" not in output
    assert not flow.files("shards/**/*.*")
