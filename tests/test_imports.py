"""The library's packages follow the data: imports go from later stages to earlier ones only."""

import ast
import re

import pytest
from evo2_embed import PACKAGES
from runs import SCRIPTS, run_python

LIBRARY = SCRIPTS / "evo2_embed"
MODULES = sorted(path.relative_to(LIBRARY) for path in LIBRARY.glob("*/**/*.py"))
# Of the analyses, these use others.
ANALYSES = {"burn_in": {"compare"}, "probes": {"fusion"}, "heads": {"fusion", "probes"}}


def imported(module):
    """Names of the modules that a module imports, wherever in it."""
    for node in ast.walk(ast.parse((LIBRARY / module).read_text())):
        if isinstance(node, ast.ImportFrom):
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (name.name for name in node.names)


@pytest.mark.parametrize("module", MODULES, ids=str)
def test_imports_go_to_earlier_packages(module):
    package, *_ = module.parts
    for name in imported(module):
        top, *rest = name.split(".")
        assert top != "snakemake", "the library knows nothing of Snakemake"
        if top != "evo2_embed" or not rest:
            continue
        assert PACKAGES.index(rest[0]) <= PACKAGES.index(package), f"{module} imports {name}"
        if package == rest[0] == "analysis" and len(rest) > 1 and len(module.parts) > 2:
            mine = module.parts[1]
            assert rest[1] in {mine} | ANALYSES.get(mine, set()), f"{module} imports {name}"


def test_every_package_has_its_place():
    assert {module.parts[0] for module in MODULES} == set(PACKAGES)


def test_planning_a_run_imports_nothing_heavy(tmp_path):
    code = (
        "import sys, evo2_embed.run.frozen\n"
        "print(sorted({'torch', 'polars', 'pyarrow', 'pandas', 'evo2'} & set(sys.modules)))"
    )
    assert run_python(code, tmp_path) == "[]"


def test_an_embedding_job_needs_the_packages_of_its_environment_only(tmp_path):
    pins = re.findall(r"- ([\w-]+)==", (SCRIPTS.parents[1] / "envs" / "gpu.yaml").read_text())
    absent = {"polars", "pandas", "sklearn", "umap", "tabulate", "Bio"}
    code = (
        f"import sys\nsys.modules.update(dict.fromkeys({sorted(absent)}))\n"
        "import evo2_embed.embed.embed_shard, evo2_embed.doctor.devices\n"
        "print('psutil' in sys.modules, 'pyfaidx' in sys.modules, 'snakemake' in sys.modules)"
    )
    # The script itself is run by Snakemake; the library is not.
    assert run_python(code, tmp_path) == "True False False"
    assert "psutil" in pins
