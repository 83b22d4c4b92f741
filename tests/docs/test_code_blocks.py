"""Every code block of README.md and docs/ runs here or in a test that is named here, or the reason
why it does not is in this file. A new block that is none of these fails."""

import re
import shlex
import shutil

import numpy as np
import pytest
import yaml
from doc_blocks import BLOCKS, blocks_in
from evo2_embed.run.frozen import plan_run
from runs import ROOT, Workflow, merged, random_bases, write_fasta
from safetensors.numpy import save_file
from test_pages import TARGETS

# ---- which blocks are run where ------------------------------------------------------------------

# By page: the test that runs its Python code, or why none does.
PYTHON = {
    "README.md": "../reader/test_page.py",
    "docs/dataset.md": "../reader/test_page.py",
    "docs/heads.md": "../reader/test_page.py",
    "docs/reader.md": "../reader/test_page.py",
    "docs/scores.md": "../reader/test_page.py",
    "docs/variants.md": "../reader/test_page.py",
    "docs/exports.md": "../export/test_recipes.py",
    "docs/finetune.md": "../finetune/test_finetune_run.py",
    "docs/running.md": "../workflow/test_module.py",  # a module of another workflow
}
# Blocks of other languages.
OTHERS = {
    ("docs/exports.md", "sql"): "../export/test_recipes.py; the extension vss needs a network",
    ("docs/exports.md", "r"): "R is not part of the tests, as the page says",
}
# Lines of a shell that are not run, and why.
NOT_RUN = {
    r"pip install git\+https://HOST/.*": "a placeholder for an address",
    r"pip install embedding-atlas": "tests/export starts the program, in its own environment",
    r"multiqc results": "tests/export runs it on a run's results",
    r"embedding-atlas results/export/.*": "tests/export starts the program on a file",
    r"multiqc results|pip install multiqc.*": "tests/export runs it, in its own environment",
    r"cd resources/plotly|npm .*": "needs Node.js; tests/report/test_bundle.py reads what it made",
    r"scancel --name RUN_ID": "needs a run on a cluster",
    r"snakemake --unlock": "tests/soak unlocks the folders of killed runs",
    r"make run .*results/shards/.*/BUNDLE/.*": "BUNDLE is a name of the user's run",
}
# Drawings, and what a program prints: they have no code.
DRAWN = {
    "README.md": ["extraction", "by sequence"],
    "docs/architecture.md": ["config/config.yaml", "fit_fusion", "Snakefile"],
    "docs/words.md": ["by sequence", "base "],
}


def test_every_block_has_a_class():
    for block in BLOCKS:
        if block.language == "python":
            assert block.page in PYTHON, block
        elif block.language == "text":
            assert any(block.text.startswith(word) for word in DRAWN[block.page]), block
        elif block.language not in ("bash", "yaml", "tsv"):
            assert (block.page, block.language) in OTHERS, block


def test_the_tests_that_are_named_here_read_their_page():
    here = ROOT / "tests" / "docs"
    for page, name in PYTHON.items():
        text = (here / name).read_text()
        assert page in text or name.endswith("test_module.py"), page


# ---- configurations ------------------------------------------------------------------------------

GFF3 = """##gff-version 3
chr1\tx\tgene\t101\t700\t.\t+\t.\tID=g1;Name=dnaA;locus_tag=b1
chr1\tx\tmRNA\t101\t700\t.\t+\t.\tID=t1;Parent=g1
chr1\tx\texon\t101\t300\t.\t+\t.\tID=e1;Parent=t1
chr1\tx\texon\t401\t700\t.\t+\t.\tID=e2;Parent=t1
chr1\tx\tCDS\t101\t300\t.\t+\t0\tID=c1;Parent=t1;locus_tag=b1
chr1\tx\tCDS\t401\t700\t.\t+\t1\tID=c1;Parent=t1;locus_tag=b1
"""
VCF = "##fileformat=VCFv4.2\n##contig=<ID=chr1>\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n"
BASE = {
    "genomes": "genomes.tsv",
    "model": {"name": "evo2_7b"},
    "extractions": {"default": {"layers": ["blocks.26"], "precision": "bf16"}},
}


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A folder with all files that the configurations of the pages name."""
    folder = tmp_path_factory.mktemp("project")
    bases = random_bases(40_000, 1)
    write_fasta(folder / "g.fa", [("chr1", bases)])
    (folder / "genes.gff3").write_text(GFF3)
    for name in ("genes", "encoder"):
        arrays = {"weight": np.zeros((80, 4096), np.float32), "bias": np.zeros(80, np.float32)}
        save_file(arrays, folder / f"{name}.safetensors")
    record = ["chr1", "20000", "rs1", bases[19_999], "A" if bases[19_999] != "A" else "C"]
    (folder / "one.vcf").write_text(VCF + "\t".join([*record, ".", ".", "."]) + "\n")
    return folder


def sheet_for(config):
    """The sheet that suits a configuration: regions, variants or neither."""
    column = "regions\tgenes.gff3" if "regions" in config else "variants\tone.vcf"
    if "variants" in config and config["variants"].get("scan"):
        column = "regions\tgenes.gff3"
    elif not {"regions", "variants"} & config.keys():
        column = "regions\t"
    name, file = column.split("\t")
    return f"genome\tfasta\t{name}\ng\tg.fa\t{file}\n"


@pytest.mark.parametrize("block", blocks_in("yaml"), ids=str)
def test_configurations_are_valid(block, project, monkeypatch):
    monkeypatch.chdir(project)
    config = yaml.safe_load(block.text)
    (project / "genomes.tsv").write_text(sheet_for(config))
    changed = merged(BASE, config)
    if "extractions" in config:
        changed["extractions"] = {
            name: {"precision": "bf16", **values} for name, values in config["extractions"].items()
        }
    run = plan_run(changed)
    assert run.bundles


@pytest.mark.parametrize("block", blocks_in("tsv"), ids=str)
def test_sheets_have_columns_that_are_read(block):
    header, *rows = [line.split("\t") for line in block.text.splitlines()]
    assert header[:2] == ["genome", "fasta"]
    assert set(header) <= {"genome", "fasta", "regions", "variants", "circular"}
    assert {len(row) for row in rows} == {len(header)}


# ---- commands ------------------------------------------------------------------------------------


def lines_of(block):
    """The commands of a block, without comments; those that are joined by && are apart."""
    joined = re.sub(r"\\\n\s*", " ", block.text)
    lines = [re.sub(r"(^|\s)#.*", "", line).strip() for line in joined.splitlines()]
    return [part.strip() for line in lines if line for part in re.split(r"&&|;", line)]


COMMANDS = sorted({(line, b.page) for b in blocks_in("bash") for line in lines_of(b)})


PLACES = {"PATH": str(ROOT), "FOLDER": ".", "PROJECT": "config/examples/genes"}


MAKE_RUN = {"CONFIG": ["--configfile"], "PROFILE": ["--workflow-profile"], "ARGS": []}


def words_of(line):
    """The folder and the options of a command, for a dry run that needs no cluster."""
    for name, example in PLACES.items():
        line = line.replace(name, example)
    first, *words = shlex.split(line)
    if first == "make":
        given = [word.split("=", 1) for word in words[1:]]
        words = [word for name, value in given for word in (*MAKE_RUN[name], *value.split())]
    options = {"--workflow-profile": None, "-s": f"{ROOT}/Snakefile", "-d": "."}
    for option, usual in options.items():
        if option in words:
            at = words.index(option)
            options[option] = words[at + 1]
            del words[at : at + 2]
        else:
            options[option] = usual
    if options["--workflow-profile"]:  # tests/slurm runs it
        assert (ROOT / options["--workflow-profile"] / "config.yaml").is_file()
    assert options["-s"] == f"{ROOT}/Snakefile"
    return options["-d"], *(word for word in words if word not in ("-n", "--cores", "all"))


def is_dry_run(line):
    skipped = any(re.fullmatch(pattern, line) for pattern in NOT_RUN)
    return line.startswith(("snakemake ", "make run")) and not skipped


@pytest.mark.parametrize(("line", "page"), [c for c in COMMANDS if not is_dry_run(c[0])])
def test_commands_exist(line, page):
    if any(re.fullmatch(pattern, line) for pattern in NOT_RUN):
        return
    first, *words = shlex.split(line)
    files = [word for word in words if "/" in word and "PROJECT" not in word and "=" not in word]
    if first == "make":
        targets = [word for word in words if "=" not in word]
        assert set(targets) <= TARGETS
        files = [word.split("=")[1] for word in words if "=" in word and "/" in word]
    elif first == "source":
        assert re.search(rf"{words[0].split('/')[0]}/", (ROOT / "Makefile").read_text())
        files = []
    elif first == "pip":
        assert words[0] == "install"
        assert (ROOT / "pyproject.toml").is_file()
    else:
        assert first in ("cp", "python"), line
    assert all((ROOT / file).exists() for file in files), line


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder of a run with the configurations of this repository."""
    folder = tmp_path_factory.mktemp("dry")
    shutil.copytree(ROOT / "config", folder / "config", ignore=shutil.ignore_patterns("results"))
    for name in ("resources", "profiles"):
        (folder / name).symlink_to(ROOT / name)
    return folder


@pytest.mark.parametrize("words", sorted({words_of(c[0]) for c in COMMANDS if is_dry_run(c[0])}))
def test_snakemake_takes_its_commands(words, folder):
    where, *options = words
    assert Workflow.at(folder / where).planned(*options)["embed_shard"] > 0


def test_configurations_of_commands_exist():
    found = re.findall(r"CONFIG=(config/\S+)", "\n".join(line for line, _ in COMMANDS))
    assert found
    assert all((ROOT / name).is_file() for name in found)
