"""What a change reruns, as the table in config/README.md says: a finished run, then a change."""

import runpy
import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from everything import EXTRACTIONS, FUSIONS, SETTINGS, configure, list_genomes
from evo2_embed import CODE_VERSIONS
from evo2_embed.embed import embed_shard
from evo2_embed.io.errors import InputError
from evo2_embed.model.registry import bundled_checkpoint
from evo2_embed.run.frozen import RUN_CONFIG, freeze, load_frozen, plan_run
from evo2_embed.settings.jobs import Runtime
from runs import ROOT, SCRIPTS, merged, random_bases, write_fasta
from snakemake.iocontainers import Namedlist

BOTH, BINS = EXTRACTIONS["both"], EXTRACTIONS["bins"]
END = {"write_report", "all"}
DATASET = {"write_manifest", "compare_layers", "probe_layers", "save_probe"} | END
BELOW_EMBED = {"embed_shard", "embed_control", "embed_burn_in", "measure_burn_in"}
LAYERS_AGAIN = {"aggregate_bundle", "aggregate_embeddings"}
SCORES_AGAIN = {"score_bundle", "aggregate_scores", "export_bigwig"}
DATASETS = LAYERS_AGAIN | SCORES_AGAIN | DATASET
BELOW_EMBED |= DATASETS
FUSION = {"fit_fusion", "fuse_bundle", "fuse_layers"}
HEADS = {"apply_bundle", "apply_heads", "export_bigwig"}
TRAINING = {"split_chunks", "export_packs", "write_finetune"}
BELOW_PACK = {"pack_tokens", "pack_burn_in", "shuffle_windows", *BELOW_EMBED, *FUSION, *HEADS}
BELOW_PACK |= {"export_packs", "write_finetune"}
BELOW_LABELS = {"check_labels", "probe_layers", "save_probe", *HEADS, "write_manifest", *END}
BELOW_CHUNK = BELOW_PACK | {"chunk_fasta", "list_genomes", "split_chunks", "check_labels"}


def extraction(name, **changes):
    """A change of an extraction."""
    return {"extractions": {**EXTRACTIONS, name: {**EXTRACTIONS[name], **changes}}}


# By name: a change, the rules that run again, and the number of shards that are embedded again.
CHANGES = {
    "layers": (extraction("bins", layers=["norm", "blocks.0"]), BELOW_EMBED, 3),
    "pooling": (extraction("bins", pooling="max"), BELOW_EMBED | {"check_labels"}, 3),
    "dtype": (extraction("bins", dtype="float32"), BELOW_EMBED, 3),
    "levels": (
        extraction("both", levels=["genome"]),
        {*LAYERS_AGAIN, *FUSION, *HEADS, *DATASET},
        0,
    ),
    "new fusion": (
        extraction("both", fusion={**FUSIONS, "mean": {"method": "mean"}}),
        {*FUSION, "write_manifest", "probe_layers", *END},
        0,
    ),
    "new extraction": (
        {"extractions": {**EXTRACTIONS, "new": {"layers": ["blocks.4"]}}},
        BELOW_EMBED - SCORES_AGAIN | {"pack_burn_in", "check_labels"},
        3,
    ),
    "only scores": (
        {"extractions": {**EXTRACTIONS, "new": {"layers": [], "scores": True}}},
        {"embed_shard", "aggregate_bundle", *SCORES_AGAIN, "write_manifest", *END},
        3,
    ),
    # The control and the burn-in compare layers; scores and skip_first do not change them.
    "no scores": (
        extraction("bins", scores=False),
        {"embed_shard", *LAYERS_AGAIN} | DATASET,
        3,
    ),
    "score_strands": (
        extraction("both", score_strands="keep"),
        {*SCORES_AGAIN, "write_manifest", *END},
        0,
    ),
    "skip_first": (
        extraction("bins", skip_first=10),
        {"embed_shard", "check_labels"} | DATASETS,
        3,
    ),
    "removed extraction": ({"extractions": {"both": BOTH}}, END, 0),
    "max_tokens": ({"packing": {"max_tokens": 600}}, BELOW_PACK, 6),
    "windows": ({"windows": {"size": 150}}, BELOW_CHUNK, 6),
    # Snakemake compares the values of parameters, not their names.
    "swapped values": ({"windows": {"size": 120, "stride": 200}}, BELOW_CHUNK, 2),
    "compare.rows": ({"compare": {"rows": 20}}, {"compare_layers", *END}, 0),
    "compare.control": (
        {"compare": {"control": 5}},
        {"shuffle_windows", "embed_control", "compare_layers", *END},
        0,
    ),
    "burn_in": (
        {"burn_in": {"starts": 3}},
        {"pack_burn_in", "embed_burn_in", "measure_burn_in", *END},
        0,
    ),
    "probe": ({"probe": {"min_overlap": 0.9}}, BELOW_LABELS, 0),
    "report": ({"report": {"points": 100}}, END, 0),
    "finetune": ({"finetune": {"gap": 30}}, {*TRAINING, *END}, 0),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_of_the_configuration_reruns_what_depends_on_it(changed_run, name):
    changes, rules, shards = CHANGES[name]
    configure(changed_run, **merged(SETTINGS, changes))
    jobs = changed_run.planned()
    assert set(jobs) == rules
    assert jobs["embed_shard"] == shards


def test_what_changes_no_result_reruns_nothing(changed_run):
    runtime = {"checkpoint_every": 5, "hang_after": 99, "kv_device": "host", "kernels": "torch"}
    configure(
        changed_run,
        extractions={"bins": {"precision": "fp32", **BINS}, "both": {"pooling": "mean", **BOTH}},
        windows={"strands": "both", "stride": 120, "size": 200, "last": "keep"},
        runtime={**runtime, "tokens_per_second": 1000.0},
        max_output_gb=1,
        model_directory="moved",
    )
    changed_run.sheet({name: changed_run.folder / f"{name}.fa" for name in ("large", "small")})
    path = changed_run.folder / "config" / "config.yaml"
    path.write_text(f"# a comment\n{path.read_text()}\n# another\n")
    assert not changed_run.planned()


@pytest.fixture
def copied_workflow(tmp_path):
    """A fresh copy of the workflow, whose files are all newer than those of any run."""
    for name in ("workflow", "profiles", "resources"):
        shutil.copytree(ROOT / name, tmp_path / "copy" / name, copy_function=shutil.copyfile)
    shutil.copyfile(ROOT / "Snakefile", tmp_path / "copy" / "Snakefile")
    return tmp_path / "copy"


@pytest.mark.parametrize("profile", ["default", "none"])
def test_a_fresh_copy_of_the_workflow_reruns_nothing(changed_run, copied_workflow, profile):
    snakefile = str(copied_workflow / "Snakefile")
    assert not changed_run.planned("-s", snakefile, "--workflow-profile", profile)


def test_a_raised_code_version_redoes_its_stage(changed_run, copied_workflow):
    path = copied_workflow / "workflow" / "scripts" / "evo2_embed" / "__init__.py"
    version = CODE_VERSIONS["compare"]
    path.write_text(
        path.read_text().replace(f'"compare": {version},', f'"compare": {version + 1},')
    )
    jobs = changed_run.planned("-s", str(copied_workflow / "Snakefile"))
    assert set(jobs) == {"compare_layers", *END}


@pytest.mark.parametrize(
    ("lost", "rules"),
    {
        "embeddings/bins/norm/part-00000-large-00000.parquet": {*LAYERS_AGAIN, *DATASET},
        "embeddings/both/strands/part-00001-small-00000.parquet": {
            *("fuse_bundle", "fuse_layers", "write_manifest"),
            *END,
        },
        "heads/both/genes/part-00001-small-00000.parquet": {*HEADS, "write_manifest", *END},
        "export/bigwig/both/genes/small/CDS.plus.bw": {"export_bigwig", "all"},
        "finetune/padded/train-00000.parquet": {"write_finetune", *END},
    }.items(),
)
def test_a_lost_file_of_a_dataset_redoes_it(changed_run, lost, rules):
    (changed_run.folder / "results" / lost).unlink()
    assert set(changed_run.planned()) == rules


def test_a_changed_fasta_redoes_its_bundle(changed_run):
    path = changed_run.folder / "small.fa"
    write_fasta(path, [("chr", random_bases(400, 99))])
    jobs = changed_run.planned()
    assert jobs["chunk_fasta"] == jobs["pack_tokens"] == 1
    assert jobs["embed_shard"] == 2


def test_changed_labels_rerun_the_probes_and_their_heads_only(changed_run):
    path = changed_run.folder / "genes.gff3"
    path.write_text(path.read_text().rsplit("\n", 3)[0] + "\n")
    assert set(changed_run.planned()) == BELOW_LABELS


def test_a_genome_at_the_end_redoes_the_open_bundle_only(changed_run):
    manifest = "results/embeddings/both/manifest.json"
    write_fasta(changed_run.folder / "more.fa", [("more", random_bases(300, 9))])
    list_genomes(changed_run, ["large", "small", "more"])
    jobs = changed_run.planned()
    assert jobs["chunk_fasta"] == jobs["pack_tokens"] == 1  # the bundle of small genomes
    assert jobs["embed_shard"] == 2  # one per extraction
    kept = ("chunks/large.parquet", "packs/large/*", "shards/*/large/**/*", "**/bins/**/*")
    before = [changed_run.files(pattern) for pattern in kept]
    changed_run.run(manifest)
    assert before == [changed_run.files(pattern) for pattern in kept]
    assert all(before)
    assert not changed_run.planned(manifest)


def test_an_embedding_job_takes_what_no_result_depends_on_from_the_frozen_run(
    changed_run, monkeypatch
):
    monkeypatch.chdir(changed_run.folder)
    changes = {"checkpoint_every": 5, "hang_after": 99, "kv_device": "host"}
    shutil.copy(bundled_checkpoint(), "moved.pt")
    configure(changed_run, runtime=changes, model={"checkpoint": "moved.pt"})
    freeze(plan_run(yaml.safe_load(Path("config/config.yaml").read_text())), RUN_CONFIG)
    taken = []
    monkeypatch.setattr(embed_shard, "embed_shard", lambda *arguments: taken.extend(arguments))
    monkeypatch.setattr("evo2_embed.embed.gpus.claim_gpus", lambda number: None)
    inputs = {"packs": "packs", "model": "results/models/evo2_tiny.json"}
    settings = load_frozen(RUN_CONFIG).embed_settings("both")
    job = SimpleNamespace(
        log=["logs/embed_shard/both/small/00000.log"],
        wildcards=Namedlist(fromdict={"extraction": "both", "bundle": "small", "shard": "00000"}),
        input=Namedlist(fromdict=inputs),
        params=Namedlist(fromdict={"settings": settings}),
        output=SimpleNamespace(record="record", speed="speed"),
        resources={},
    )
    runpy.run_path(str(SCRIPTS / "embed_shard.py"), {"snakemake": job})
    (runtime,) = (value for value in taken if isinstance(value, Runtime))
    assert (runtime.checkpoint_every, runtime.hang_after, runtime.kv_device) == (5, 99, "host")
    assert Path("moved.pt") in taken


def test_without_the_trigger_for_settings_a_run_with_others_is_refused(changed_run):
    layers = [*BINS["layers"], "blocks.2"]
    configure(changed_run, **merged(SETTINGS, extraction("bins", layers=layers)))
    before = changed_run.files("**/*")
    output = changed_run.run("--rerun-triggers", "mtime", fails=True)
    assert "config error: the settings changed since the last run" in output
    assert changed_run.files("**/*") == before


def test_an_edit_of_the_frozen_settings_is_refused_by_jobs(changed_run):
    path = changed_run.folder / "results" / "run_config.yaml"
    path.write_text(path.read_text().replace("max_tokens: 500", "max_tokens: 2000"))
    with pytest.raises(InputError, match="was edited"):
        load_frozen(path)
