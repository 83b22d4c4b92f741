"""The table of rules, held against the rules and against the jobs that Snakemake plans."""

import re
from collections import Counter

import pytest
import yaml
from evo2_embed.plan.rules import RULES, count_jobs
from evo2_embed.run.frozen import plan_run
from runs import ROOT, Workflow, random_bases, write_fasta

EVERYTHING = {
    "sharding": {"shard_tokens": 2000},
    "compare": {"rows": 100, "control": 4},
    "burn_in": {"length": 1024},
    "probe": {"labels": "labels.bed"},
    "export": "finetune",
    "extractions": {
        "one": {"layers": ["blocks.2", "norm"], "fusion": {"f": {"method": "mean"}}},
        "two": {"layers": ["norm"]},
    },
}
LITTLE = {"compare": {"rows": 0, "control": 4}}


def declared():
    """By rule, its file and its outputs as `workflow/rules` has them."""
    found = {}
    for path in (ROOT / "workflow" / "rules").glob("*.smk"):
        heads = r"^(?:use )?rule (?:\w+ as )?(\w+)(?:| with):\n((?:    .*\n|\n)+)"
        for name, body in re.findall(heads, path.read_text(), re.M):
            outputs = re.findall(r'(\w+)=(?:report\(\s*)?"results/([^"]+)"', _output(body))
            found[name] = (path.stem, dict(outputs))
    return found


def _output(body):
    return re.search(r"    output:\n((?:     .*\n)+)", body)[1]


def test_the_table_has_every_rule_its_file_and_its_outputs():
    table = {name: (rule.stage, rule.outputs) for name, rule in RULES.items()}
    assert table == declared()


@pytest.mark.parametrize("config", [EVERYTHING, LITTLE], ids=["everything", "little"])
def test_the_table_has_every_job_its_outputs_and_its_log(tmp_path, monkeypatch, config):
    flow = Workflow(tmp_path / "flow")
    write_fasta(flow.folder / "large.fa", [("large", random_bases(3000, 1))])
    write_fasta(flow.folder / "small.fa", [("small", random_bases(600, 2))])
    (flow.folder / "labels.bed").write_text("large\t0\t600\tx\nlarge\t1000\t1600\ty\n")
    flow.sheet({"large": "large.fa", "small": "small.fa"})
    flow.configure(**config)
    blocks = re.findall(r"^rule (\w+):\n((?:    .*\n)+)", flow.run("-n"), re.M)
    planned = sorted(
        (name, sorted(_listed(block, "output")), _listed(block, "log"))
        for name, block in blocks
        if name != "all"
    )
    monkeypatch.chdir(flow.folder)
    run = plan_run(yaml.safe_load((flow.folder / "config" / "config.yaml").read_text()))
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


def _listed(block, part):
    return re.search(rf"^    {part}: (.*)$", block, re.M)[1].split(", ")
