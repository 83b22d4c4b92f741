"""Python and the packages, against the pins of `envs/`."""

import importlib.util
import re
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from evo2_embed.doctor.findings import Finding, fault, fine, remark

ENVS = Path(__file__).resolve().parents[4] / "envs"
PYTHONS = ((3, 11), (3, 12))

# Packages whose versions decide what an embedding is, by the name that they are imported by: no
# other version than the pinned one will do. torch and triton are needed, but come with the machine.
_EXACT = {"evo2": "evo2", "vtx": "vortex"}
_NEEDED = {"torch": "torch", "triton": "triton"}


def read_pins(gpu: bool) -> tuple[str, dict[str, str]]:
    """The file with the pins for a machine with or without a GPU, and the versions in it.

    Packages that only others need, and pins that are commented out, are left out.
    """
    path = ENVS / ("requirements-gpu.txt" if gpu else "requirements.txt")
    text = path.read_text().split("# What these need.")[0]
    pins = re.findall(r"^([\w.-]+)(?:\[[\w,]+\])?==([\w.]+)", text, re.M)
    return f"envs/{path.name}", dict(pins)


def python_finding(running: tuple[int, int] = sys.version_info[:2]) -> Finding:
    """The version of Python."""
    shown = ".".join(map(str, running))
    if running in PYTHONS:
        return fine("Python", f"{shown}, {sys.executable}")
    allowed = " or ".join(".".join(map(str, x)) for x in PYTHONS)
    if running < PYTHONS[0]:
        return fault("Python", f"{shown}, {sys.executable}: use {allowed}")
    return remark("Python", f"{shown}, {sys.executable}: tried with {allowed} only")


def package_findings(gpu: bool) -> list[Finding]:
    """What is installed, against the pins for a machine with or without a GPU."""
    file, pins = read_pins(gpu)
    findings = [_package(name, pins[name], file) for name in _EXACT | _NEEDED if name in pins]
    if "triton" not in pins:  # it comes with torch there
        findings += [] if installed("triton") else [_missing("triton", file)]
    others = {name: pin for name, pin in pins.items() if name not in _EXACT | _NEEDED}
    found = {name: installed(name) for name in others}
    different = [
        f"{x} {found[x]} (pinned: {others[x]})" for x in others if _differs(found[x], others[x])
    ]
    if different:
        findings.append(remark("packages", f"{', '.join(different)} in {file}"))
    else:
        present = sum(found[name] is not None for name in others)
        findings.append(fine("packages", f"{present} others as in {file}"))
    return findings


def import_finding() -> Finding:
    """Whether the model's code can be imported, which takes seconds."""
    from evo2_embed.model.import_evo2 import import_evo2

    try:
        import_evo2()
    except (ImportError, OSError) as error:
        reason = " ".join(str(error).split())
        return fault("import", f"evo2 cannot be imported ({reason}): {_remedy()}")
    return fine("import", "evo2 and vortex can be imported")


def installed(name: str) -> str | None:
    """Version of a package in this environment, without what a build adds to it."""
    try:
        return version(name).split("+")[0]
    except PackageNotFoundError:
        return None


def has_module(name: str) -> bool:
    """Whether there is a module of this name, without importing it."""
    return importlib.util.find_spec(name) is not None


def _package(name: str, pin: str, file: str) -> Finding:
    found = installed(name)
    if found is None or not has_module((_EXACT | _NEEDED)[name]):
        return _missing(name, file)
    if found == pin:
        return fine(name, f"{found}, as in {file}")
    if name in _EXACT:
        return fault(name, f"{found}, but {file} pins {pin}: {_remedy()}")
    return remark(name, f"{found}; {file} pins {pin}")


def _missing(name: str, file: str) -> Finding:
    return fault(name, f"not installed ({file} has it): {_remedy()}")


def _remedy() -> str:
    return (
        f"this job runs in {sys.prefix}; see that the environment which holds the model is loaded "
        "(a module, a conda environment, a container), or install it as the README says"
    )


def _differs(found: str | None, pin: str) -> bool:
    # Nor does it matter here what is missing: the environment of a rule may have fewer.
    return found is not None and found != pin
