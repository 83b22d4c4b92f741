"""The rule files' headers, docs and habits, held against the rules themselves."""

import ast
import json
import re
import subprocess

import pytest
import slurm_watch
import yaml
from everything import EXTRACTIONS
from evo2_embed.analysis.probes.extraction import PROBES
from evo2_embed.dataset.alleles import alleles_schema
from evo2_embed.dataset.levels import level_schema
from evo2_embed.finetune.forms import PACKED, PADDED
from evo2_embed.finetune.split import BLOCKS
from evo2_embed.io.integrity import JSON_KEY
from evo2_embed.io.tables import CHUNKS, OF_VARIANT, PACKS, embeddings_schema, scores_schema
from evo2_embed.plan.rules import RULES
from evo2_embed.run.frozen import load_frozen
from rule_headers import RULE_FILES, documented_keys, header
from runs import ROOT

BODIES = {
    name: body
    for path in RULE_FILES
    for name, body in re.findall(r"^rule (\w+):\n((?:    .*\n|\n)+)", path.read_text(), re.M)
}


@pytest.mark.parametrize("name", BODIES)
def test_a_rule_has_all_that_a_rule_has(name):
    body = BODIES[name]
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

    chunk, pack, embed, aggregate, fusion, finetune, probe, variants = (
        " ".join(header(ROOT / "workflow" / "rules" / f"{name}.smk").split())
        for name in (
            *("chunk", "pack", "embed", "aggregate", "fusion", "finetune", "probe"),
            "variants",
        )
    )
    assert columns(CHUNKS) in chunk
    assert columns(PACKS) in pack
    assert columns(embeddings_schema(8, "float32", chunk=True)) in embed
    assert columns(embeddings_schema(8, "float32")) in aggregate
    assert columns(embeddings_schema(8, "float32")) in fusion
    assert columns(scores_schema(chunk=True)) in embed
    assert columns(scores_schema()) in aggregate
    assert columns(level_schema(8)) in aggregate
    assert columns(alleles_schema(8, scores=False)) in variants
    both = alleles_schema(8, scores=True).names
    assert f"with scores also: {', '.join(both[-2:])}" in variants
    assert f"with rows of variants also, after exons: {', '.join(OF_VARIANT)}" in aggregate
    assert all(columns(schema) in finetune for schema in (BLOCKS, PACKED, PADDED))
    assert columns(PROBES) in probe


JSON_OUTPUTS = [
    (rule, name)
    for rule in RULES.values()
    for name, path in rule.outputs.items()
    # Embeddings for the report are those of a shard.
    if path.endswith(".json") and rule.name not in ("embed_control", "embed_burn_in")
]


@pytest.mark.parametrize(
    ("rule", "output"),
    # The finished run keeps all, and has no variants or exports: test_region_examples.py and
    # tests/export look at these.
    [entry for entry in JSON_OUTPUTS if entry[0].stage not in ("variants", "tidy", "export")],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_headers_name_the_keys_of_the_json_files_of_a_run(finished_run, rule, output):
    keys, entries = documented_keys(ROOT / "workflow" / "rules" / f"{rule.stage}.smk")[
        rule.outputs[output]
    ]
    run = load_frozen(finished_run.folder / "results" / "run_config.yaml")
    jobs = run.jobs(rule.name)
    assert jobs
    for job in jobs:
        value = json.loads((finished_run.folder / "results" / job.outputs[output]).read_text())
        if rule.name == "write_manifest":  # only with heads
            assert ("heads" in value) == bool(EXTRACTIONS[job.wildcards["extraction"]].get("heads"))
            value.pop("heads", None)
        assert sorted(value) == sorted([*keys, JSON_KEY])
        for key, inner in entries.items():
            members = value[key].values() if isinstance(value[key], dict) else value[key]
            assert all(sorted(member) == sorted(inner) for member in members), key


def test_headers_name_the_keys_of_no_other_files():
    named = {name for path in RULE_FILES for name in documented_keys(path)}
    assert named == {rule.outputs[output] for rule, output in JSON_OUTPUTS}
    lines = sum(header(path).count(" keys: ") for path in RULE_FILES)
    assert lines == len(JSON_OUTPUTS)


def test_the_snakefile_is_a_table_of_contents():
    text = (ROOT / "workflow" / "Snakefile").read_text()
    assert len(text.splitlines()) < 60
    assert re.findall(r"^rule (\w+):", text, re.M) == ["all"]


def test_conda_environments_exist_and_are_yaml():
    named = set(re.findall(r'"\.\./\.\./(envs/[^"]+)"', " ".join(BODIES.values())))
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
    assert {n: v for n, v in gpu.items() if n != "torch"}.items() <= cpu.items()
    assert all(
        "pytorch-gpu =2.7.1" in (ROOT / "envs" / n).read_text()
        for n in ("gpu.yaml", "gpu-fp8.yaml")
    )


def test_the_container_recipe_needs_only_files_of_the_repository_and_installs_pinned_versions():
    recipe = (ROOT / "envs" / "evo2-embed.def").read_text()
    sections = dict(re.findall(r"^%(\w+)\n(.*?)(?=^%|\Z)", recipe, re.M | re.S))
    copied = dict(line.split() for line in sections["files"].splitlines() if line.strip())
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout
    assert copied.keys() <= set(tracked.splitlines())
    # All that pip installs is in the files that the recipe copies.
    installs = re.findall(r"pip install (.*)", sections["post"])
    assert installs == [f"-r {target}" for target in copied.values()]
    for source in copied:
        lines = [re.sub(r"\s*#.*", "", line) for line in (ROOT / source).read_text().splitlines()]
        packages = [line for line in lines if line and not line.startswith("--")]
        assert len(packages) > 10
        assert all(re.fullmatch(r"[\w.\[\]-]+==[\w.]+", line) for line in packages)
    image = re.search(r"^From: (.*)$", recipe, re.M)[1]
    assert re.fullmatch(r"[a-z/.-]+:\d[\w.-]*(@sha256:[0-9a-f]{64})?", image)


def test_the_slurm_environment_pins_what_the_others_and_the_rules_name():
    slurm = pins((ROOT / "envs" / "requirements-slurm.txt").read_text())
    tests = pins((ROOT / "envs" / "requirements-test.txt").read_text())
    tests |= pins((ROOT / "envs" / "requirements.txt").read_text())
    own = {name: slurm.pop(name) for name in list(slurm) if name.startswith("snakemake-")}
    assert slurm.items() <= tests.items()
    assert own["snakemake-executor-plugin-slurm"] == slurm_watch.PLUGIN_VERSION


def test_the_storage_environment_pins_what_the_others_do():
    storage = pins((ROOT / "envs" / "requirements-storage.txt").read_text())
    storage |= pins((ROOT / "envs" / "requirements-storage-test.txt").read_text())
    # botocore refuses the newer version, the packages of the others take this one as well.
    assert storage.pop("python-dateutil") < "3"
    others = pins((ROOT / "envs" / "requirements-test.txt").read_text())
    others |= pins((ROOT / "envs" / "requirements.txt").read_text())
    assert not storage.keys() & others.keys()


def test_the_export_environment_pins_what_the_others_do():
    export = pins((ROOT / "envs" / "requirements-export.txt").read_text())
    tested = export | pins((ROOT / "envs" / "requirements-export-test.txt").read_text())
    others = pins((ROOT / "envs" / "requirements-test.txt").read_text())
    others |= pins((ROOT / "envs" / "requirements.txt").read_text())
    conda = pins((ROOT / "envs" / "export.yaml").read_text())
    assert conda.items() <= (others | export).items()
    assert {"anndata", "h5py", "pandas", "lancedb"} <= conda.keys()
    # anndata refuses the newer version.
    assert export["pandas"] < "3"
    shared = (tested.keys() & others.keys()) - {"pandas"}
    assert {name: tested[name] for name in shared} == {name: others[name] for name in shared}


def test_only_the_last_lines_of_a_script_know_snakemake():
    for path in (ROOT / "workflow" / "scripts").rglob("*.py"):
        text = path.read_text()
        assert "from __future__" not in text
        if path.name == "run_workflow.py" or "logger_plugin" in path.parent.name:
            continue  # they start it
        if 'if "snakemake" in globals():' not in text:
            # The doctor looks at the folder of Snakemake's cache.
            known = text.replace('Path(caches) / "snakemake"', "")
            assert not re.search(r"\bsnakemake\b", known), path
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


def _is_text(call):
    """Whether a call opens a file as text, so that it needs an encoding."""
    name = getattr(call.func, "attr", getattr(call.func, "id", ""))
    if name in ("read_text", "write_text"):
        return True
    is_open = name == "open" and isinstance(call.func, ast.Name)
    modes = [x.value for x in call.args[1:2] if isinstance(x, ast.Constant)]
    return is_open and "b" not in "".join(modes)


@pytest.mark.parametrize(
    "path", sorted((ROOT / "workflow").rglob("*.py")), ids=lambda path: path.stem
)
def test_text_files_are_utf_8_on_every_machine(path):
    calls = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call)]
    for call in filter(_is_text, calls):
        assert "encoding" in [keyword.arg for keyword in call.keywords], ast.unparse(call)


def test_make_help_names_every_target():
    text = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z][a-z-]*):", text, re.M))
    phony = set(" ".join(re.findall(r"^\.PHONY: (.*)$", text, re.M)).split())
    helped = set(re.findall(r"^# make ([a-z-]+) +\w", text, re.M))
    assert phony == targets
    assert helped == targets - {"help", "env", "test-env"}
