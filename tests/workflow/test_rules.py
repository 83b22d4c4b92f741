"""The table of rules, held against the rules and against the jobs that Snakemake plans."""

import re
import shutil
from collections import Counter

import pytest
import yaml
from everything import EXTRACTIONS, FUSIONS, HEADS, LAYERS
from evo2_embed.plan.jobs import count_jobs
from evo2_embed.plan.rules import RULES
from evo2_embed.run.frozen import load_frozen, plan_run
from evo2_embed.settings.exports import FORMATS
from runs import ROOT, Workflow, random_bases, write_fasta


def declared():
    """By rule, its file and its outputs as `workflow/rules` has them."""
    found = {}
    for path in (ROOT / "workflow" / "rules").glob("*.smk"):
        heads = r"^(?:use )?rule (?:\w+ as )?(\w+)(?:| with):\n((?:    .*\n|\n)+)"
        for name, body in re.findall(heads, path.read_text(), re.M):
            files = r'(\w+)=(?:(?:report|directory)\(\s*)?"results/([^"]+)"'
            outputs = re.findall(files, _output(body))
            found[name] = (path.stem, dict(outputs))
    return found


def _output(body):
    return re.search(r"    output:\n((?:     .*\n)+)", body)[1]


def test_the_table_has_every_rule_its_file_and_its_outputs():
    table = {name: (rule.stage, rule.outputs) for name, rule in RULES.items()}
    assert table == declared()


def planned_jobs(flow, *arguments):
    """The name of its rule, and what Snakemake says of it, of each job of a dry run."""
    return re.findall(r"^rule (\w+):\n((?:    .*\n)+)", flow.run("-n", *arguments), re.M)


@pytest.fixture(scope="module")
def all_jobs(finished_run, tmp_path_factory):
    """Those of the finished run, without the record of its weights, which is not made again."""
    flow = finished_run.copy_to(tmp_path_factory.mktemp("all") / "flow")
    shutil.rmtree(flow.folder / "results" / "models")
    return planned_jobs(flow, "--forceall")


def assert_planned(blocks, run):
    """Snakemake plans the jobs that the table says, with their outputs and logs."""
    planned = sorted(
        (name, sorted(_listed(block, "output")), _listed(block, "log"))
        for name, block in blocks
        if name != "all"
    )
    jobs = [job for rule in RULES for job in run.jobs(rule)]
    assert planned == sorted(
        (
            job.rule.name,
            sorted(f"results/{output}" for output in job.outputs.values()),
            [f"logs/{job.log}"],
        )
        for job in jobs
    )
    assert count_jobs(run.settings, run.bundles) == Counter(job.rule.name for job in jobs)


def test_the_table_has_every_job_its_outputs_and_its_log(finished_run, all_jobs):
    run = load_frozen(finished_run.folder / "results" / "run_config.yaml")
    # A run with a training set has no variants; this one keeps all, and has local files. The next
    # test plans exports of datasets.
    assert RULES.keys() - count_jobs(run.settings, run.bundles) == {
        "compare_bundle",
        "compare_alleles",
        "fetch_file",
        "tidy_bundle",
        *(f"export_{name}" for name in FORMATS),
    }
    assert_planned(all_jobs, run)


def test_the_table_has_no_job_that_the_configuration_does_not_ask_for(tmp_path, monkeypatch):
    flow = Workflow(tmp_path / "flow")
    write_fasta(flow.folder / "small.fa", [("small", random_bases(600, 2))])
    flow.sheet({"small": "small.fa"})
    flow.configure(compare={"rows": 0, "control": 4}, keep="datasets", export=["atlas"])
    monkeypatch.chdir(flow.folder)
    run = plan_run(yaml.safe_load((flow.folder / "config" / "config.yaml").read_text()))
    assert_planned(planned_jobs(flow), run)


def test_rules_take_the_files_of_their_own_extraction_and_no_others(all_jobs):
    shards = [("large", "00000"), ("large", "00001"), ("small", "00000")]
    chunks = ["results/chunks/large.parquet", "results/chunks/small.parquet"]
    inputs = {
        _listed(block, "output")[0]: _listed(block, "input")
        for name, block in all_jobs
        if name in ("aggregate_bundle", "aggregate_embeddings", "write_manifest", "write_report")
    }
    folder = "results/shards/{}/{}/{}/{}.json"
    for extraction in EXTRACTIONS:
        records, speeds = (
            [folder.format(extraction, *shard, name) for shard in shards]
            for name in ("shard", "speed")
        )
        bundles = [
            f"results/bundles/{extraction}/{name}.json" for name in ("large/norm", "small/all")
        ]
        assert inputs[f"results/embeddings/{extraction}/norm.json"] == bundles
        assert inputs[bundles[0]] == [*records[:2], *speeds[:2], chunks[0]]
        assert inputs[bundles[1]] == [records[2], speeds[2], chunks[1]]
    names = sorted(EXTRACTIONS)  # as the configuration file of a test has them
    of_bundles = [f"results/bundles/{name}/{{}}.json" for name in names]
    layers = [("large/shards/norm", "small/shards/all")] + [
        (*(f"large/shards/{layer}" for layer in LAYERS), "small/shards/all")
    ]
    numbers = [
        folder.format(file)
        for folder, files in zip(of_bundles, layers, strict=True)
        for file in files
    ]
    manifests = [f"results/embeddings/{name}/manifest.json" for name in names]
    assert inputs["results/report.html"][:7] == [*manifests, *numbers]
    assert inputs["results/report.html"][-2:] == chunks
    assert inputs["results/embeddings/both/manifest.json"] == [
        *(f"results/embeddings/both/{name}.json" for name in [*LAYERS, *FUSIONS, "scores"]),
        *(f"results/heads/both/{name}.json" for name in HEADS),
        *chunks,
        "results/genomes.parquet",
        "results/skipped.tsv",
    ]


def _listed(block, part):
    return re.search(rf"^    {part}: (.*)$", block, re.M)[1].split(", ")
