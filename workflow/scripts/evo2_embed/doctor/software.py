"""Python and the packages, compared with the pins in `envs/`."""

import importlib.util
import re
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from evo2_embed.doctor.findings import Finding, fail, ok, warn

ENVS = Path(__file__).resolve().parents[4] / "envs"
PYTHONS = ((3, 11), (3, 12))

# Packages whose version changes embeddings, and their modules: only the pinned version is allowed.
# torch and triton are needed, but their versions depend on the machine.
_EXACT = {"evo2": "evo2", "vtx": "vortex"}
_NEEDED = {"torch": "torch", "triton": "triton"}


def read_pins(gpu: bool) -> tuple[str, dict[str, str]]:
    """The file with the pins for a machine with or without a GPU, and the versions in it.

    Without the dependencies of the packages, and without pins in comments.
    """
    path = ENVS / ("requirements-gpu.txt" if gpu else "requirements.txt")
    text = path.read_text(encoding="utf-8").split("# Dependencies of these.")[0]
    pins = re.findall(r"^([\w.-]+)(?:\[[\w,]+\])?==([\w.]+)", text, re.M)
    return f"envs/{path.name}", dict(pins)


def python_finding(running: tuple[int, int] = sys.version_info[:2]) -> Finding:
    """The version of Python."""
    shown = ".".join(map(str, running))
    if running in PYTHONS:
        return ok("Python", f"{shown}, {sys.executable}")
    allowed = " or ".join(".".join(map(str, x)) for x in PYTHONS)
    if running < PYTHONS[0]:
        return fail("Python", f"{shown}, {sys.executable}: use {allowed}")
    return warn("Python", f"{shown}, {sys.executable}: tested only with {allowed}")


def package_findings(gpu: bool) -> list[Finding]:
    """The installed packages, compared with the pins for a machine with or without a GPU."""
    file, pins = read_pins(gpu)
    findings = [_package(name, pins[name], file) for name in _EXACT | _NEEDED if name in pins]
    if "triton" not in pins:  # torch installs it on a GPU machine
        findings += [] if installed("triton") else [_missing("triton", file)]
    others = {name: pin for name, pin in pins.items() if name not in _EXACT | _NEEDED}
    found = {name: installed(name) for name in others}
    different = [
        f"{x} {found[x]} (pinned: {others[x]})" for x in others if _differs(found[x], others[x])
    ]
    if different:
        findings.append(warn("packages", f"{', '.join(different)} in {file}"))
    else:
        present = sum(found[name] is not None for name in others)
        findings.append(ok("packages", f"{present} other packages as in {file}"))
    return findings


def import_finding() -> Finding:
    """Whether the model's code can be imported. Takes seconds."""
    from evo2_embed.model.import_evo2 import import_evo2

    try:
        import_evo2()
    except (ImportError, OSError) as error:
        reason = " ".join(str(error).split())
        return fail("import", f"evo2 cannot be imported ({reason}): {_remedy()}")
    return ok("import", "evo2 and vortex can be imported")


def installed(name: str) -> str | None:
    """Version of a package in this environment, without a local suffix such as `+cu128`."""
    try:
        return version(name).split("+")[0]
    except PackageNotFoundError:
        return None


def has_module(name: str) -> bool:
    """Whether a module of this name exists, without importing it."""
    return importlib.util.find_spec(name) is not None


def _package(name: str, pin: str, file: str) -> Finding:
    found = installed(name)
    if found is None or not has_module((_EXACT | _NEEDED)[name]):
        return _missing(name, file)
    if found == pin:
        return ok(name, f"{found}, as in {file}")
    if name in _EXACT:
        return fail(name, f"{found}, but {file} pins {pin}: {_remedy()}")
    return warn(name, f"{found}; {file} pins {pin}")


def _missing(name: str, file: str) -> Finding:
    return fail(name, f"not installed ({file} has it): {_remedy()}")


def _remedy() -> str:
    return (
        f"this job runs in {sys.prefix}; load the environment of the model "
        "(a module, a conda environment, a container), or install it (docs/gpu.md)"
    )


def _differs(found: str | None, pin: str) -> bool:
    # A missing package is no error here: the environment of a rule may have fewer packages.
    return found is not None and found != pin
