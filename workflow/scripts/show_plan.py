"""Estimate what a run will make and cost: `make plan`.

In: the configuration, the sheet, the sizes of their files. Out: tables on the terminal, or JSON.
It writes nothing and needs no lock, so it works during a run.
"""

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
from pathlib import Path

from evo2_embed.config.read import read_yaml
from evo2_embed.io.errors import InputError
from evo2_embed.io.text import fault_lines
from evo2_embed.io.version import add_version
from evo2_embed.plan.advice import output_fault, warnings_of
from evo2_embed.plan.estimate import estimate_run
from evo2_embed.plan.peak import context_peaks, gpu_peak
from evo2_embed.plan.speeds import known_speeds
from evo2_embed.plan.temporary import temporary_bytes
from evo2_embed.plan.text import Cost, as_json, as_text
from evo2_embed.run.frozen import INDEXES, plan_run

RESULTS = Path("results")
DEFAULT = Path("config/config.yaml")


def main(configfile: str, directory: str, as_numbers: bool) -> str:
    """The text to print."""
    os.chdir(directory)
    run = plan_run(read_config(configfile), limited=False)
    estimate = estimate_run(run.settings, run.bundles, INDEXES)
    speeds = known_speeds(run.settings, RESULTS)
    peaks, contexts = {}, {}
    if run.settings.runtime.device != "cpu":
        extractions = run.settings.extractions
        peaks = {name: gpu_peak(run.settings, name) for name in extractions}
        packed = [name for name in extractions if extractions[name].engine == "packed"]
        contexts = {name: context_peaks(run.settings, name) for name in packed}
    free = shutil.disk_usage(RESULTS if RESULTS.exists() else ".").free
    temporary = temporary_bytes(run.bundles), shutil.disk_usage(tempfile.gettempdir()).free
    advice = warnings_of(run.settings, estimate, speeds, free, *temporary)
    fault = output_fault(run.settings, estimate)
    cost = Cost(run.settings, run.bundles, estimate, speeds, peaks, contexts, free, fault, advice)
    return json.dumps(as_json(cost), indent=2) if as_numbers else as_text(cost)


def read_config(path: str) -> object:
    """The configuration that a run with this file has: keys that it leaves out come from
    `config/config.yaml`, if that exists."""
    config = read_yaml(path)
    if Path(path).resolve() == DEFAULT.resolve() or not DEFAULT.exists():
        return config
    return _extended(read_yaml(str(DEFAULT)), config)


def _extended(base: object, changes: object) -> object:
    """A mapping updated with the keys of another one, at every depth."""
    if not isinstance(base, dict) or not isinstance(changes, dict):
        return changes
    return base | {key: _extended(base.get(key), value) for key, value in changes.items()}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--configfile", default=str(DEFAULT), help="configuration file")
    parser.add_argument("--directory", default=".", help="folder of the run")
    parser.add_argument("--json", action="store_true", help="numbers, in bytes and hours")
    add_version(parser)
    chosen = parser.parse_args()
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` ends it without a traceback
    try:
        print(main(chosen.configfile, chosen.directory, chosen.json))
    except InputError as fault:
        sys.exit(fault_lines("config error", fault))
