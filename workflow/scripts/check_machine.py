"""Check this machine.

In a run: a model and the folder of its weights in, a JSON file with one line per check out. A
failed check ends the job. On the command line (`make doctor`): a configuration in, the lines out,
and exit status 1 if a check failed.
"""

import argparse
import json
import sys
from dataclasses import asdict

from evo2_embed.doctor import Finding, check_machine, check_run, failed, lines
from evo2_embed.io.files import write_json
from evo2_embed.io.version import add_version
from evo2_embed.run.frozen import RUN_CONFIG, load_frozen
from evo2_embed.run.job import workflow_job
from evo2_embed.settings.extraction import Model


def main(model: dict, directory: str, output: str) -> None:
    findings = check_run(Model.from_dict(model), directory, load_frozen(RUN_CONFIG))
    write_json(output, as_json(findings))


def as_json(findings: list[Finding]) -> dict:
    """The checks: `what`, `state` and `text` of each."""
    return {"checks": [asdict(finding) for finding in findings]}


def doctor() -> int:
    parser = argparse.ArgumentParser(description="Check this machine: one line per check.")
    parser.add_argument("config", nargs="?", default="config/config.yaml")
    parser.add_argument("--gpus", type=int, default=1, help="GPUs per embedding job (default: 1)")
    parser.add_argument("--json", action="store_true", help="the checks as JSON")
    add_version(parser)
    arguments = parser.parse_args()
    findings = check_machine(arguments.config, arguments.gpus)
    print(json.dumps(as_json(findings), indent=2) if arguments.json else lines(findings))
    return 1 if failed(findings) else 0


if "snakemake" in globals():
    with workflow_job(snakemake):
        main(snakemake.params.model, snakemake.params.directory, snakemake.output.record)
elif __name__ == "__main__":
    sys.exit(doctor())
