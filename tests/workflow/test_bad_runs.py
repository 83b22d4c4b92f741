"""Runs that must fail: one clear line, no expensive work, no partial files."""

import gzip
import json
import os
import re
import shutil

import polars as pl
import pytest
import torch
import yaml
from everything import SETTINGS, configure
from evo2_embed.io.files import write_json
from evo2_embed.model import registry
from runs import CONFIG, MAKE_RUN, Workflow, merged, random_bases, write_fasta

NORM = {"default": {"layers": ["norm"]}}


@pytest.fixture
def flow(tmp_path):
    flow = Workflow(tmp_path / "flow")
    write_fasta(flow.folder / "good.fa", [("good", random_bases(500, 1))])
    flow.sheet({"good": "good.fa"})
    flow.configure(extractions=NORM)
    return flow


def errors(output):
    return [line for line in output.splitlines() if line.startswith(("error:", "config error:"))]


def test_bad_genomes_stop_the_run_before_embedding_or_are_left_out_until_they_are_repaired(flow):
    folder = flow.folder
    (folder / "protein.fa").write_text(">prot1\nMKVLAAGIVEQPLLRT\n")
    whole = gzip.compress((folder / "good.fa").read_bytes())
    (folder / "half.fa.gz").write_bytes(whole[: len(whole) // 2])
    (folder / "page.fa.gz").write_text("<html><body>404 Not Found</body></html>\n")
    write_fasta(folder / "large.fa", [("large", random_bases(1900, 2))])
    files = {"half": "half.fa.gz", "good": "good.fa", "large": "large.fa"}
    files |= {"page": "page.fa.gz", "protein": "protein.fa"}
    flow.sheet(files)
    flow.configure(extractions=NORM, sharding={"shard_tokens": 1500})
    output = flow.run(cores=1, fails=True, command=MAKE_RUN).splitlines()
    assert "error:" not in output
    lines = [line for line in output if line.startswith("FAIL")]
    # Of several bundles: all are chunked, though one failed.
    assert len(lines) == 3
    for said in ("half.fa.gz: the gzip", "page.fa.gz: is named", "protein.fa: record 'prot1': 'L'"):
        assert any(re.match(rf"FAIL  chunk_fasta \S+: {said}", line) for line in lines)
    assert all(re.search(r" \(logs/chunk_fasta/\S+\.log\)$", line) for line in lines)
    assert len(output) < 12
    assert not flow.files("shards/**/*.*")
    assert list(flow.files("chunks/*.parquet")) == ["chunks/large.parquet"]

    flow.sheet({**files, "gone": "gone.fa"})
    sheet = folder / "genomes.tsv"
    head, *rows = sheet.read_text().splitlines()
    rows = [f"{row}\tB.{number}" for number, row in enumerate(rows)]
    sheet.write_text("\n".join([f"{head}\tclade", *rows]) + "\n")
    skip = {"extractions": NORM, "sharding": {"shard_tokens": 1500}, "on_bad_genome": "skip"}
    flow.configure(**skip)
    output = flow.run(command=MAKE_RUN)
    assert re.search(r"^\d+\.\d% of 2\.61 k tokens, .*, \d+ of \d+ jobs done$", output, re.M)
    assert output.endswith((folder / "results" / "summary.txt").read_text())
    dataset = pl.read_parquet(folder / "results" / "embeddings" / "default" / "norm" / "*.parquet")
    assert dataset["genome"].cast(pl.String).to_list() == ["good"] * 3 + ["large"] * 10
    bad = ["half", "page", "protein", "gone"]
    table = pl.read_csv(folder / "results" / "skipped.tsv", separator="\t")
    assert table["genome"].to_list() == bad
    manifest = json.loads((folder / "results/embeddings/default/manifest.json").read_text())
    assert [entry["genome"] for entry in manifest["genomes"]] == ["good", "large"]
    assert [entry["columns"] for entry in manifest["genomes"]] == [
        {"clade": "B.1"},
        {"clade": "B.2"},
    ]
    assert [entry["genome"] for entry in manifest["skipped"]] == bad
    assert manifest["skipped"][2]["reason"] == table["reason"][2]
    genomes = pl.read_parquet(folder / "results" / "genomes.parquet")
    assert dict(genomes.select("genome", "windows").iter_rows()) == {
        **dict.fromkeys(bad, 0),
        "good": 3,
        "large": 10,
    }
    assert "4 genome(s) left out" in (folder / "results" / "summary.txt").read_text()
    page = (folder / "results" / "report.html").read_text()
    assert "4 genome(s) left out" in page
    assert "sheet clade" in page

    again = flow.run(command=MAKE_RUN)
    assert "nothing to do: all results of this configuration are there" in again
    assert "4 genome(s) left out" in again
    sheet.write_text(sheet.read_text().replace("B.1", "B.9"))
    assert set(flow.planned()) == {"list_genomes", "write_manifest", "write_report", "all"}
    (folder / "half.fa.gz").write_bytes(whole)
    os.utime(folder / "half.fa.gz", (1_000_000_000,) * 2)
    jobs = flow.planned()
    assert jobs["chunk_fasta"] == jobs["pack_tokens"] == jobs["embed_shard"] == 1


def test_all_faults_of_a_config_are_shown_at_once_and_no_job_starts(flow):
    (flow.folder / "empty.fa").touch()
    (flow.folder / "r.bed").write_text("c\t0\t9\nc\t9\t0\n")
    flow.sheet({"good": "missing.fa", "x": "empty.fa", "y": ("good.fa", "r.bed")})
    packing = {"max_tokens": 1_000, "strategy": "padded"}
    config = merged(CONFIG, {"windows": {"size": 2_000}, "packing": packing})
    config["extractions"] = {"default": {"layers": ["blocks.8", "norm"], "precision": "fp8"}}
    (flow.folder / "config" / "config.yaml").write_text(yaml.safe_dump(config))
    lines = errors(flow.run(fails=True))
    assert len(lines) == 6
    for part in (
        "missing.fa",
        "r.bed: line 2: start 9 and end 0",
        "'empty.fa': the file is empty",
        "max_tokens",
        "blocks.8",
        "fp8",
    ):
        assert any(part in line for line in lines), part
    assert not flow.files("**/*.*")


def test_a_configuration_with_code_or_a_key_twice_is_refused_before_snakemake_reads_it(flow):
    config = flow.folder / "config" / "config.yaml"
    good = config.read_text()
    config.write_text(f"{good}__use_yte__: true\nmodel_directory: ?open('ran', 'w').name\n")
    (line,) = errors(flow.run("-n", fails=True))
    assert line.startswith("config error: config/config.yaml: __use_yte__: code in a configuration")
    assert not (flow.folder / "ran").exists()
    config.write_text(good)
    other = flow.folder / "other.yaml"
    other.write_text("windows: {size: 100, size: 200}\n")
    (line,) = errors(flow.run("-n", "--configfile", str(other), fails=True))
    assert line.startswith(f"config error: {other}: line 1: key 'size' is there twice")


def test_a_checkpoint_of_another_model_is_refused(flow):
    state = torch.load(registry.bundled_checkpoint(), weights_only=True)
    del state["norm.scale"]
    torch.save(state, flow.folder / "other.pt")
    flow.configure(extractions=NORM, model={"checkpoint": "other.pt"})
    work = flow.folder / "results" / "shards" / "other" / "g" / "00000" / ".work"
    work.mkdir(parents=True)
    write_json(work / "journal.json", {"tokens": 1000})
    output = flow.run(fails=True)
    (line,) = errors(output)
    assert "other.pt: not a checkpoint of evo2_tiny" in line
    assert "saved work of embedding jobs is kept (1): run again to continue" in output
    assert "no job failed" not in output
    assert "norm.scale" in line
    assert not flow.files("shards/**/*.parquet")


def test_a_named_model_is_fetched_whole_and_noted(flow):
    """With a stand-in for the hub's client, which gives the file in parts."""
    stand_in = flow.folder / "stand_in" / "huggingface_hub"
    stand_in.mkdir(parents=True)
    shutil.copy(registry.bundled_checkpoint(), flow.folder / "stand_in" / "weights.pt")
    (stand_in / "__init__.py").write_text(
        "import pathlib\n"
        "def snapshot_download(repo_id, local_dir, allow_patterns):\n"
        "    data = (pathlib.Path(__file__).parents[1] / 'weights.pt').read_bytes()\n"
        "    for part in range(2):\n"
        "        half = data[part * 1_000_000 :] if part else data[:1_000_000]\n"
        "        (pathlib.Path(local_dir) / f'evo2_7b.pt.part{part}').write_bytes(half)\n"
        "    (pathlib.Path(local_dir) / 'asked').write_text(repo_id)\n"
    )
    flow.configure(extractions=NORM, model={"name": "evo2_7b"}, model_directory="weights")
    flow.environment = {"PYTHONPATH": str(flow.folder / "stand_in")}
    flow.run("results/models/evo2_7b.json")
    fetched = flow.folder / "weights" / "evo2_7b.pt"
    assert fetched.read_bytes() == registry.bundled_checkpoint().read_bytes()
    assert [p.name for p in (flow.folder / "weights").iterdir() if p.name[0] != "."] == [
        "evo2_7b.pt"
    ]


def test_an_edit_in_mid_run_does_not_reach_the_run_s_jobs(changed_run):
    """A cluster job parses the workflow again; it takes the frozen settings."""
    target = "results/chunks/small.parquet"
    before = changed_run.files("chunks/small.parquet")
    configure(changed_run, **merged(SETTINGS, {"windows": {"last": "shift"}}))
    changed_run.run("--mode", "subprocess", "--nolock", "--force", target)
    assert changed_run.files("chunks/small.parquet") == before != {}
    changed_run.run(target)
    assert changed_run.files("chunks/small.parquet") != before
