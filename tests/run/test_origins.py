"""No reader believes a file of other settings; no job of an earlier run replaces a later result."""

import base64
import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from evo2_embed.io.errors import InputError
from evo2_embed.io.files import atomic_directory, atomic_path, checked_writes, write_json
from evo2_embed.io.tables import CHUNKS, metadata_schema, open_table, table_writer
from evo2_embed.plan.jobs import job_of
from evo2_embed.plan.rules import RULES
from evo2_embed.run.digests import Digests, recorded
from evo2_embed.run.frozen import RUN_CONFIG, freeze, load_frozen, plan_run
from evo2_embed.run.job import RESULTS, check_inputs, write_check
from evo2_embed.run.origins import check_origin
from evo2_embed.run.params import rule_params
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

# By reader, the rules whose files it reads, of those with settings.
DATASETS = {"aggregate_embeddings"}
READS = {
    "list_genomes": {"chunk_fasta"},
    "pack_tokens": {"chunk_fasta"},
    "embed_shard": {"pack_tokens"},
    "aggregate_bundle": {"chunk_fasta", "embed_shard"},
    "aggregate_embeddings": {"aggregate_bundle"},
    "score_bundle": {"chunk_fasta", "embed_shard"},
    "aggregate_scores": {"score_bundle"},
    "fit_fusion": DATASETS,
    "fuse_bundle": {"fit_fusion", "aggregate_bundle", *DATASETS},
    "fuse_layers": {"fit_fusion", "fuse_bundle", *DATASETS},
    "write_manifest": {
        *("chunk_fasta", "list_genomes", "fuse_layers", "aggregate_scores", "apply_heads"),
        *DATASETS,
    },
    "shuffle_windows": {"chunk_fasta"},
    "embed_control": {"shuffle_windows"},
    "compare_layers": {"embed_control", *DATASETS},
    "pack_burn_in": {"chunk_fasta"},
    "embed_burn_in": {"pack_burn_in"},
    "measure_burn_in": {"pack_burn_in", "embed_burn_in"},
    "check_labels": {"chunk_fasta"},
    "probe_layers": {"check_labels", *DATASETS},
    "save_probe": {"check_labels", "fit_fusion", "fuse_layers"},
    "apply_bundle": {"aggregate_bundle", *DATASETS},
    "apply_heads": {"save_probe", "apply_bundle", "fuse_layers"},
    "export_bigwig": {"aggregate_scores"},
    "split_chunks": {"chunk_fasta"},
    "export_packs": {"pack_tokens", "split_chunks"},
    "write_finetune": {"chunk_fasta", "split_chunks", "export_packs"},
    "write_report": {
        *("chunk_fasta", "aggregate_bundle", "write_manifest", "compare_layers"),
        "measure_burn_in",
        *("probe_layers", "write_finetune"),
    },
}
PAIRS = [(reader, writer) for reader, writers in READS.items() for writer in sorted(writers)]
# A pack file, a table of blocks and a shard of the training set have no window size: their digest
# has that of the chunk table.
WITHOUT_SETTINGS = ("fit_fusion",)


@pytest.fixture(scope="module")
def copied(finished_run, tmp_path_factory):
    """A copy of a finished run; tests restore the files that they change."""
    folder = tmp_path_factory.mktemp("origins") / "flow"
    return shutil.copytree(finished_run.folder, folder)


@pytest.fixture
def run(copied, monkeypatch):
    """The run, with its folder as the working folder."""
    monkeypatch.chdir(copied)
    return load_frozen(RUN_CONFIG)


def made(run):
    """By rule of a finished run, the job with most inputs, and these."""
    found = {}
    for path in sorted(Path(".snakemake/metadata").iterdir()):
        output = base64.b64decode(path.name).decode()
        job = job_of(output.removeprefix("results/"), run.settings, run.bundles)
        inputs = json.loads(path.read_text())["input"]
        if len(inputs) >= len(found.get(job.rule.name, (None, ()))[1]):
            found[job.rule.name] = job, inputs
    return found


def as_job(run, rule):
    """A job of a rule, as its script gets it."""
    job, inputs = made(run)[rule]
    known = {
        key: job.wildcards[key]
        for key in ("extraction", "fusion", "bundle", "head")
        if key in job.wildcards
    }
    params = rule_params(run, rule, **known)
    log = [f"logs/{job.log}"]
    return SimpleNamespace(rule=rule, wildcards=job.wildcards, params=params, input=inputs, log=log)


def read_from(run, job, writer):
    """The file of a rule that a job reads."""
    for path in job.input:
        maker = job_of(path.removeprefix("results/"), run.settings, run.bundles)
        if maker is not None and maker.rule.name == writer:
            return RESULTS / next(iter(maker.outputs.values()))
    raise AssertionError(f"{job.rule} does not read the file of {writer}")


def rewrite(path, content):
    """Write a file of a run again, undamaged, with other settings or another digest."""
    if path.suffix == ".json":
        write_json(path, content)
    elif path.suffix == ".npz":
        with np.load(path) as file:
            arrays = dict(file)
        np.savez(path, **{**arrays, "fusion": np.array(json.dumps(content))})
    elif path.suffix == ".safetensors":
        with safe_open(path, "np") as file:
            metadata = {**file.metadata(), "evo2_embed": json.dumps(content)}
        save_file(load_file(path), path, metadata)
    else:
        table = pq.read_table(path)
        with table_writer(path, metadata_schema(table.schema, content)) as writer:
            writer.write_table(table)


def changed(content, key):
    """An entry of a file, changed wherever it is."""
    if isinstance(content, dict):
        entries = {name: changed(value, key) for name, value in content.items()}
        return {**entries, **({key: f"{content[key]} changed"} if key in content else {})}
    return content


def test_the_pairs_of_readers_and_writers_are_those_of_a_run(run):
    found = {}
    for rule, (_, inputs) in made(run).items():
        paths = [path.removeprefix("results/") for path in inputs]
        makers = [job_of(path, run.settings, run.bundles) for path in paths]
        found[rule] = {maker.rule.name for maker in makers if maker is not None}
        found[rule] -= {"check_machine", "fetch_model"}
    assert {rule: writers for rule, writers in found.items() if writers} == READS


@pytest.mark.parametrize(("reader", "writer"), PAIRS)
@pytest.mark.parametrize("what", ["code", "digest"])
def test_a_reader_refuses_a_file_of_other_settings(run, reader, writer, what):
    job = as_job(run, reader)
    check_inputs(job)
    path = read_from(run, job, writer)
    before, content = path.read_bytes(), recorded(path)
    # Either the settings in the file are others, or those of a file that it was made from.
    other = changed(content, what)
    if other == content:
        other = changed(content, {"code": "digest", "digest": "datasets"}[what])
    if other == content:
        other = changed(content, {"digest": "labels_sha256"}[what])
    try:
        rewrite(path, other)
        with pytest.raises(InputError, match=rf"{path}: made from other .*; delete {path} and"):
            check_inputs(job)
    finally:
        path.write_bytes(before)


def test_every_file_of_a_finished_run_is_of_that_run(run):
    digests = Digests(run, RESULTS)
    for rule in RULES:
        for job in run.jobs(rule):
            check_origin(job, digests)
            for path in job.outputs.values():
                assert job_of(path, run.settings, run.bundles) == job


def test_a_damaged_table_is_left_to_its_reader(run):
    job = as_job(run, "pack_tokens")
    path = read_from(run, job, "chunk_fasta")
    before = path.read_bytes()
    try:
        path.write_bytes(before.replace(b'"genome"', b'"fenome"'))
        check_inputs(job)
        with pytest.raises(InputError, match=rf"{path}: damaged.*; delete {path} and rerun"):
            open_table(path, CHUNKS)
    finally:
        path.write_bytes(before)


def test_without_intermediate_files_settings_are_still_compared(run, tmp_path):
    shutil.move(RESULTS / "chunks", tmp_path / "chunks")
    job = as_job(run, "compare_layers")
    path = read_from(run, job, "aggregate_embeddings")
    before = path.read_bytes()
    try:
        check_inputs(job)
        rewrite(path, {**recorded(path), "windows": {}})
        with pytest.raises(InputError, match="made from other settings"):
            check_inputs(job)
    finally:
        path.write_bytes(before)
        shutil.move(tmp_path / "chunks", RESULTS / "chunks")


@pytest.fixture
def edit():
    """A function that freezes the run with another configuration, as a later run does at its
    start."""
    kept = Path(RUN_CONFIG).read_text()
    config = yaml.safe_load(Path("config/config.yaml").read_text())

    def edit(**changes):
        freeze(plan_run({**config, **changes}), RUN_CONFIG)

    yield edit
    Path(RUN_CONFIG).write_text(kept)


def test_a_job_writes_nothing_once_the_run_has_other_settings(run, edit):
    check = write_check(as_job(run, "chunk_fasta"))
    check()
    edit()
    check()
    edit(report={"points": 7, "umap": False})
    check()
    edit(windows={"size": 100, "strands": "both"})
    with pytest.raises(InputError, match="writes nothing"):
        check()


def test_a_job_of_an_earlier_run_does_not_start(run, edit):
    job = as_job(run, "embed_shard")
    edit(extractions={"bins": {"layers": ["blocks.1"]}, "both": {"layers": ["blocks.1"]}})
    with pytest.raises(InputError, match="writes nothing"):
        write_check(job)
    edit(extractions={"other": {"layers": ["norm"]}})
    with pytest.raises(InputError, match="writes nothing"):
        write_check(job)


def test_a_job_writes_nothing_once_a_file_that_it_reads_was_replaced(run):
    job = as_job(run, "embed_shard")
    check = write_check(job)
    path = read_from(run, job, "pack_tokens")
    content = path.read_bytes()
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
    with pytest.raises(InputError, match="writes nothing"):
        check()


def test_a_refused_write_leaves_the_earlier_file_and_folder(tmp_path):
    def refuse():
        raise InputError("no")

    (tmp_path / "folder").mkdir()
    for name in ("file", "folder/file"):
        (tmp_path / name).write_text("earlier")
    with checked_writes(refuse):
        with pytest.raises(InputError), atomic_path(tmp_path / "file") as temporary:
            temporary.write_text("later")
        with pytest.raises(InputError), atomic_directory(tmp_path / "folder") as temporary:
            (temporary / "file").write_text("later")
    assert {path.name for path in tmp_path.iterdir()} == {"file", "folder"}
    assert (tmp_path / "file").read_text() == "earlier"
    assert (tmp_path / "folder" / "file").read_text() == "earlier"
    with atomic_path(tmp_path / "file") as temporary:
        temporary.write_text("later")
    assert (tmp_path / "file").read_text() == "later"
