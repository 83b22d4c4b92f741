"""`pip install .` gives the library; the reader in it needs numpy, pyarrow and polars only."""

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile

import pytest
from made import write
from runs import ROOT, SCRIPTS

# Nothing but the standard library and these packages can be imported, with their private modules.
ALONE = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        top = name.partition(".")[0]
        if top[0] != "_" and top not in {"evo2_embed", *ALLOWED} | sys.stdlib_module_names:
            raise ModuleNotFoundError(f"No module named '{top}'", name=top)

ALLOWED = {"numpy", "pyarrow", "polars"}
sys.meta_path.insert(0, Refuse())
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder with the library as pip installs it, built from a copy of the sources."""
    folder = tmp_path_factory.mktemp("install")
    source = folder / "source"
    shutil.copytree(
        SCRIPTS / "evo2_embed",
        source / "workflow" / "scripts" / "evo2_embed",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index"]
    command += ["--no-build-isolation", "--disable-pip-version-check", "--wheel-dir", str(folder)]
    subprocess.run([*command, str(source)], check=True)
    (wheel,) = folder.glob("evo2_embed-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def run(code, site):
    """What code prints with the installed library and no other path of the project."""
    result = subprocess.run(
        [sys.executable, "-P", "-c", ALONE + code],
        cwd=site,
        env={"PYTHONPATH": str(site), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return result.stdout.split()


def test_the_installed_library_has_all_modules_and_their_data(installed):
    def files(folder):
        paths = (path for path in folder.rglob("*") if "__pycache__" not in path.parts)
        return {str(path.relative_to(folder)) for path in paths if path.is_file()}

    assert files(installed / "evo2_embed") == files(SCRIPTS / "evo2_embed")


def test_only_three_packages_are_required(installed):
    (metadata,) = installed.glob("*.dist-info/METADATA")
    required = re.findall(r"^Requires-Dist: (\w+)[^;\n]*$", metadata.read_text(), re.M)
    assert sorted(required) == ["numpy", "polars", "pyarrow"]
    version = re.search(r"^Version: (.*)$", metadata.read_text(), re.M)[1]
    assert run("import evo2_embed; print(evo2_embed.__version__)", installed) == [version]
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert set(extras["optional-dependencies"]) == {"torch", "pandas", "anndata"}


def test_the_import_imports_no_package(installed):
    code = """
import evo2_embed
print(*{name.partition(".")[0] for name in sys.modules} & ALLOWED)
"""
    assert run(code, installed) == []


def test_the_reader_runs_with_three_packages_only(installed, tmp_path):
    record = write(tmp_path)
    code = f"""
import evo2_embed
ds = evo2_embed.open({str(record)!r})
print(len(ds), len(ds.region("chr2:1-9")), len(ds.by_name("dna7")), len(ds.neighbours(3, k=4)))
print(ds.numpy().shape, len(ds.genomes()), len(ds.keys()), len(ds.scan().collect()))
try:
    ds.torch()
except ValueError as error:
    print(error)
"""
    words = run(code, installed)
    assert words[:9] == ["230", "4", "4", "4", "(230,", "5)", "2", "230", "230"]
    assert " ".join(words[9:]).startswith(
        "torch() needs torch, which is not installed: pip install"
    )
