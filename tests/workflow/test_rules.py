"""The table of rules, held against the rules and against the jobs that Snakemake plans."""

import re
from collections import Counter

import yaml
from evo2_embed.plan.rules import RULES, count_jobs
from evo2_embed.run.frozen import load_frozen, plan_run
from runs import ROOT, Workflow, random_bases, write_fasta


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


def assert_planned(flow, run, *arguments):
    """Snakemake plans the jobs that the table says, with their outputs and logs."""
    blocks = re.findall(r"^rule (\w+):\n((?:    .*\n)+)", flow.run("-n", *arguments), re.M)
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


def test_the_table_has_every_job_its_outputs_and_its_log(finished_run):
    run = load_frozen(finished_run.folder / "results" / "run_config.yaml")
    assert set(count_jobs(run.settings, run.bundles)) == set(RULES)
    assert_planned(finished_run, run, "--forceall")


def test_the_table_has_no_job_that_the_configuration_does_not_ask_for(tmp_path, monkeypatch):
    flow = Workflow(tmp_path / "flow")
    write_fasta(flow.folder / "small.fa", [("small", random_bases(600, 2))])
    flow.sheet({"small": "small.fa"})
    flow.configure(compare={"rows": 0, "control": 4})
    monkeypatch.chdir(flow.folder)
    run = plan_run(yaml.safe_load((flow.folder / "config" / "config.yaml").read_text()))
    assert_planned(flow, run)


def _listed(block, part):
    return re.search(rf"^    {part}: (.*)$", block, re.M)[1].split(", ")
