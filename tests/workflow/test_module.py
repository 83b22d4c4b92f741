"""A workflow that imports this one as a module."""

import os
import shutil
import subprocess
import sys

import pytest
import yaml
from runs import CONFIG, ROOT, merged, random_bases, write_fasta

IMPORTER = """
configfile: "all.yaml"

onstart:
    shell("ls results > on_start.txt")

module embed:
    snakefile: {snakefile}
    config: config["embed"]
    {more}

use rule * from embed as embed_*

rule use_embeddings:
    default_target: True
    input: "results/embeddings/default/manifest.json"
    output: "used.txt"
    shell: "cp {{input}} {{output}}"
"""


@pytest.fixture
def importer(tmp_path, monkeypatch):
    """A function that runs a workflow that imports this one, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    write_fasta("g.fa", [("a", random_bases(900, 1))])
    (tmp_path / "g.tsv").write_text("genome\tfasta\ng\tg.fa\n")
    (tmp_path / "all.yaml").write_text(
        yaml.safe_dump({"embed": merged(CONFIG, {"genomes": "g.tsv"})})
    )

    def run(snakefile, more=""):
        (tmp_path / "Snakefile").write_text(IMPORTER.format(snakefile=snakefile, more=more))
        return subprocess.run(
            [sys.executable, "-m", "snakemake", "--cores", "1"],
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": ""},
            timeout=600,
        )

    return run


def commit_of(folder, repository):
    """Put a folder's workflow and the bundled model into a git repository."""
    for name in ("workflow", "resources", "envs", "Snakefile"):
        copy = shutil.copytree if (folder / name).is_dir() else shutil.copy
        copy(folder / name, repository / name)
    git = ["git", "-C", str(repository), "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for arguments in (["init", "-q"], ["add", "-A"], ["commit", "-q", "-m", "all"]):
        subprocess.run([*git, *arguments], check=True)
    return subprocess.check_output([*git, "rev-parse", "HEAD"], text=True).strip()


def test_a_commit_is_imported_as_a_module_and_frozen_before_the_first_job(importer, tmp_path):
    repository = tmp_path / "repository"
    repository.mkdir()
    commit = commit_of(ROOT, repository)
    snakefile = f'gitfile("{repository}", path="workflow/Snakefile", commit="{commit}")'
    done = importer(snakefile)
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "used.txt").read_text().startswith("{")
    # The importer's own `onstart` comes after the settings are frozen, and before any job.
    assert (tmp_path / "on_start.txt").read_text() == "run_config.yaml\n"
    again = importer(snakefile)
    assert "Nothing to be done" in again.stdout + again.stderr


def test_a_module_names_all_bad_genomes(importer, tmp_path):
    for name in ("bad", "worse"):
        write_fasta(f"{name}.fa", [(name, "ACGT" * 300 + "E")])
    (tmp_path / "g.tsv").write_text("genome\tfasta\nbad\tbad.fa\nworse\tworse.fa\n")
    config = merged(CONFIG, {"genomes": "g.tsv", "sharding": {"shard_tokens": 500}})
    (tmp_path / "all.yaml").write_text(yaml.safe_dump({"embed": config}))
    done = importer(repr(str(ROOT / "Snakefile")))
    assert done.returncode == 1
    for name in ("bad", "worse"):
        assert f"{name}.fa: record '{name}': 'E' at base 1201 is not" in done.stderr
    assert not list(tmp_path.glob("results/shards/*"))


def test_a_module_with_a_prefix_is_refused(importer, tmp_path):
    done = importer(repr(str(ROOT / "Snakefile")), "prefix: 'sub'")
    assert done.returncode == 1
    assert "a module with a prefix: jobs find their files in results/" in done.stderr
    assert not (tmp_path / "results").exists()
