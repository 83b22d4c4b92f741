"""Running the workflow for tests: a working folder of its own, a config, and Snakemake."""

import multiprocessing
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
SCRIPTS = ROOT / "workflow" / "scripts"
SNAKEMAKE = ("-m", "snakemake", "-s", str(ROOT / "Snakefile"))
MAKE_RUN = (str(SCRIPTS / "run_workflow.py"),)  # what `make run` calls

# Small enough for an embedding job of seconds; the sections are those of config.yaml.
CONFIG = {
    "genomes": "genomes.tsv",
    "windows": {"size": 200},
    "packing": {"max_tokens": 1000},
    "extractions": {"default": {"layers": ["blocks.2", "norm"]}},
    # Tests that are about these turn them on.
    "compare": {"rows": 0},
    "burn_in": {"length": 0},
    "report": {"umap": False},
}

# Copies of a process that has imported Snakemake, for dry runs: half of their time is this import.
COPIES = multiprocessing.get_context("forkserver")
COPIES.set_forkserver_preload(["snakemake.cli", "snakemake.persistence", "snakemake.report"])


def random_bases(length, seed):
    """A string of A, C, G and T."""
    return "".join(random.Random(seed).choices("ACGT", k=length))


def write_fasta(path, records):
    """Write (name, sequence) pairs with lines of 60 letters."""
    lines = []
    for name, sequence in records:
        lines += [f">{name}", *re.findall(".{1,60}", sequence)]
    Path(path).write_text("\n".join(lines) + "\n")
    return str(path)


def run_python(code, folder):
    """Run code in a process of its own, with the library on its path; what it printed."""
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        env={"PYTHONPATH": str(SCRIPTS), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    ).stdout.strip()


def merged(base, changes):
    """A copy of a mapping with some of its keys, at any depth, changed."""
    result = dict(base)
    for key, value in changes.items():
        deep = isinstance(value, dict) and isinstance(base.get(key), dict)
        result[key] = merged(base[key], value) if deep else value
    return result


def dry_run(arguments, environment, output):
    """Run Snakemake in this process; what it prints goes to a file. The process then ends."""
    from snakemake.cli import main

    with open(output, "w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    # Without the folders that pytest adds: the workflow finds its own library.
    added = tuple(str(ROOT / name) for name in ("tests", "workflow", "resources", "examples"))
    sys.path[:] = [path for path in sys.path if not path.startswith(added)]
    os.chdir(ROOT)
    os.environ.clear()
    os.environ.update(environment)
    main(arguments)


class Workflow:
    """A working folder that Snakemake can be run in."""

    environment: dict = {}

    def __init__(self, folder):
        self.folder = Path(folder)
        (self.folder / "config").mkdir(parents=True)

    @classmethod
    def at(cls, folder):
        """A working folder that is there already."""
        flow = cls.__new__(cls)
        flow.folder = Path(folder)
        return flow

    def copy_to(self, folder):
        """A copy of the folder and all that is in it."""
        shutil.copytree(self.folder, folder)
        return self.at(folder)

    def configure(self, **changes):
        """Write the small configuration with changes; an extraction replaces `default`."""
        config = merged(CONFIG, {k: v for k, v in changes.items() if k != "extractions"})
        config["extractions"] = changes.get("extractions", CONFIG["extractions"])
        (self.folder / "config" / "config.yaml").write_text(yaml.safe_dump(config))

    def sheet(self, genomes):
        """Write the sheet: by name a FASTA path, or that and a BED path."""
        rows = [("genome", "fasta", "regions")]
        for name, files in genomes.items():
            files = [files] if isinstance(files, str | Path) else files
            rows.append((name, *map(str, files), "")[:3])
        (self.folder / "genomes.tsv").write_text("".join("\t".join(row) + "\n" for row in rows))

    def _variables(self):
        return {**os.environ, "PYTHONPATH": "", **self.environment}

    def start(self, *arguments, output=subprocess.PIPE, command=SNAKEMAKE):
        """Start Snakemake in the folder; what it prints goes to a pipe, or to a file."""
        return subprocess.Popen(
            [sys.executable, *command, "--directory", str(self.folder), *arguments],
            stdout=output,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=ROOT,
            env=self._variables(),
            start_new_session=True,
        )

    def run(self, *arguments, cores=2, fails=False, command=SNAKEMAKE):
        """Run Snakemake to its end; its output."""
        process = self.start("--cores", str(cores), *arguments, command=command)
        output, _ = process.communicate(timeout=600)
        assert (process.returncode != 0) == fails, output
        return output

    def planned(self, *arguments):
        """The jobs that would run: how many of each rule."""
        arguments = ["-s", str(ROOT / "Snakefile"), "-d", str(self.folder), "-n", *arguments]
        with tempfile.NamedTemporaryFile("r") as file:
            process = COPIES.Process(target=dry_run, args=(arguments, self._variables(), file.name))
            process.start()
            process.join(600)
            output = file.read()
        assert process.exitcode == 0, output
        if "Nothing to be done" in output:
            return Counter()
        table = output.split("Job stats:")[1].split("total")[0]
        return Counter({name: int(n) for name, n in re.findall(r"^(\w+) +(\d+)$", table, re.M)})

    def files(self, pattern):
        """Contents by path of the files that match a pattern under results/."""
        results = self.folder / "results"
        return {
            str(path.relative_to(results)): path.read_bytes()
            for path in sorted(results.glob(pattern))
            if path.is_file()
        }

    def dataset(self):
        """All that the workflow promises to be the same, byte for byte, in any run."""
        return self.files("embeddings/**/*.*") | self.files("chunks/*.parquet")
