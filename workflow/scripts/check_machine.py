"""See that a machine is fit for the work.

In a run: a model and the folder of its weights in, a JSON file with a line a check out; a fault
ends the job. On the command line (`make doctor`): a configuration in, the lines out, and
status 1 where there is a fault.
"""

import argparse
import sys
from dataclasses import asdict

from evo2_embed.doctor import check_machine, check_run, faults, lines
from evo2_embed.io.files import write_json
from evo2_embed.io.logs import logged_to
from evo2_embed.run.frozen import RUN_CONFIG, load_frozen


def main(model: dict, directory: str, output: str) -> None:
    findings = check_run(model, directory, load_frozen(RUN_CONFIG))
    write_json(output, {"checks": [asdict(finding) for finding in findings]})


def doctor() -> int:
    parser = argparse.ArgumentParser(description="Is this machine fit? A line for each check.")
    parser.add_argument("config", nargs="?", default="config/config.yaml")
    parser.add_argument("--gpus", type=int, default=1, help="GPUs of an embedding job (default: 1)")
    arguments = parser.parse_args()
    findings = check_machine(arguments.config, arguments.gpus)
    print(lines(findings))
    return 1 if faults(findings) else 0


if "snakemake" in globals():
    with logged_to(snakemake.log[0]):
        main(snakemake.params.model, snakemake.params.directory, snakemake.output.record)
elif __name__ == "__main__":
    sys.exit(doctor())
