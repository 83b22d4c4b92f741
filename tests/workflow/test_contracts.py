"""The rule files' headers, docs and habits, held against the rules themselves."""

import ast
import re

import pytest
import slurm_watch
import yaml
from evo2_embed.analysis.probes.extraction import PROBES
from evo2_embed.dataset.levels import level_schema
from evo2_embed.finetune.forms import PACKED, PADDED
from evo2_embed.finetune.split import BLOCKS
from evo2_embed.io.tables import CHUNKS, PACKS, embeddings_schema
from runs import ROOT

RULE_FILES = sorted((ROOT / "workflow" / "rules").glob("*.smk"))
RULES = {
    name: body
    for path in RULE_FILES
    for name, body in re.findall(r"^rule (\w+):\n((?:    .*\n|\n)+)", path.read_text(), re.M)
}


def header(path):
    return "".join(re.findall(r"^#(.*)\n", path.read_text(), re.M))


@pytest.mark.parametrize("name", RULES)
def test_a_rule_has_all_that_a_rule_has(name):
    body = RULES[name]
    for part in ('"""', "input:", "output:", "log:", "benchmark:", "conda:", "resources:"):
        assert part in body, part
    assert f"../scripts/{name}.py" in body
    assert f"logs/{name}" in body
    assert f"benchmarks/{name}" in body
    assert (ROOT / "workflow" / "scripts" / f"{name}.py").is_file()
    assert "lambda" not in body


@pytest.mark.parametrize(
    "path",
    [path for path in RULE_FILES if path.name != "common.smk"],
    ids=lambda p: p.name,
)
def test_headers_name_every_output(path):
    text = header(path)
    for output in re.findall(r'=(?:report\(\s*)?"(results/[^"]+)"', path.read_text()):
        assert output in text, output


def test_headers_name_the_columns_of_the_tables():
    def columns(schema):
        return "columns: " + ", ".join(schema.names)

    chunk, pack, embed, aggregate, fusion, finetune, probe = (
        " ".join(header(ROOT / "workflow" / "rules" / f"{name}.smk").split())
        for name in ("chunk", "pack", "embed", "aggregate", "fusion", "finetune", "probe")
    )
    assert columns(CHUNKS) in chunk
    assert columns(PACKS) in pack
    assert columns(embeddings_schema(8, "float32", chunk=True)) in embed
    assert columns(embeddings_schema(8, "float32")) in aggregate
    assert columns(embeddings_schema(8, "float32")) in fusion
    assert columns(level_schema(8)) in aggregate
    assert all(columns(schema) in finetune for schema in (BLOCKS, PACKED, PADDED))
    assert columns(PROBES) in probe


def test_the_snakefile_is_a_table_of_contents():
    text = (ROOT / "Snakefile").read_text()
    assert len(text.splitlines()) < 60
    assert re.findall(r"^rule (\w+):", text, re.M) == ["all"]


def test_conda_environments_exist_and_are_yaml():
    named = set(re.findall(r'"\.\./\.\./(envs/[^"]+)"', " ".join(RULES.values())))
    environments = {str(p.relative_to(ROOT)): p for p in (ROOT / "envs").glob("*.yaml")}
    assert named <= set(environments)
    for path in environments.values():
        assert {"channels", "dependencies"} <= set(yaml.safe_load(path.read_text()))


def pins(text):
    return dict(re.findall(r"^\s*-?\s*([\w.\[\]-]+)==([\w.]+)", text, re.M))


def test_environments_pin_the_same_versions():
    envs = {
        name: pins((ROOT / "envs" / name).read_text())
        for name in (
            "requirements.txt",
            "cpu.yaml",
            "requirements-gpu.txt",
            "gpu.yaml",
            "gpu-fp8.yaml",
        )
    }
    cpu, gpu = envs["requirements.txt"], envs["requirements-gpu.txt"]
    assert envs["cpu.yaml"].items() <= cpu.items()
    assert len(envs["cpu.yaml"]) > 10
    assert envs["gpu.yaml"].items() <= gpu.items()
    assert envs["gpu.yaml"].items() <= envs["gpu-fp8.yaml"].items()
    assert {n: v for n, v in gpu.items() if n not in ("torch", "flash-attn")}.items() <= cpu.items()
    assert all(
        "pytorch-gpu =2.7.1" in (ROOT / "envs" / n).read_text()
        for n in ("gpu.yaml", "gpu-fp8.yaml")
    )


def test_the_slurm_environment_pins_what_the_others_and_the_rules_name():
    slurm = pins((ROOT / "envs" / "requirements-slurm.txt").read_text())
    tests = pins((ROOT / "envs" / "requirements-test.txt").read_text())
    tests |= pins((ROOT / "envs" / "requirements.txt").read_text())
    own = {name: slurm.pop(name) for name in list(slurm) if name.startswith("snakemake-")}
    assert slurm.items() <= tests.items()
    assert own["snakemake-executor-plugin-slurm"] == slurm_watch.PLUGIN_VERSION


def test_only_the_last_lines_of_a_script_know_snakemake():
    for path in (ROOT / "workflow" / "scripts").rglob("*.py"):
        text = path.read_text()
        assert "from __future__" not in text
        if 'if "snakemake" in globals():' not in text:
            assert not re.search(r"\bsnakemake\b", text), path
        else:
            edge = text.split('if "snakemake" in globals():')
            assert len(edge) == 2
            assert "snakemake." not in edge[0]


def test_public_functions_have_docstrings():
    for path in (ROOT / "workflow" / "scripts" / "evo2_embed").rglob("*.py"):
        tree = ast.parse(path.read_text())
        assert ast.get_docstring(tree), path
        classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
        for node in tree.body + [inner for owner in classes for inner in owner.body]:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                private = any(node in c.body for c in classes if c.name.startswith("_"))
                assert private or ast.get_docstring(node), f"{path.name}: {node.name}"


def test_the_readme_tree_and_commands_exist():
    text = (ROOT / "README.md").read_text()
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make ([a-z-]+)", text, re.M):
        assert re.search(rf"^{target}:", makefile, re.M), target
    for path in re.findall(r"^[│├└─ ]*([\w./-]+/)  ", text, re.M):
        assert list(ROOT.rglob(path.rstrip("/"))), path
