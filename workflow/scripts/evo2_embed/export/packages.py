"""The packages that an export needs and the environment of the workflow does not have."""

from importlib.util import find_spec

from evo2_embed.settings.settings import Settings

# By export, the packages that only it needs.
NEEDED = {"anndata": ("anndata", "h5py"), "bigwig": ("pyBigWig",), "lance": ("lancedb",)}
# What installs them; the environment of a run of an earlier version may lack one of its own.
_FROM = {"bigwig": ("env", "requirements.txt")}


def package_faults(settings: Settings) -> list[str]:
    """One line per export of a configuration whose packages are not installed. None is imported."""
    faults = []
    for name, packages in NEEDED.items():
        missing = [package for package in packages if find_spec(package) is None]
        if missing and getattr(settings.exports, name):
            target, file = _FROM.get(name, ("export-env", "requirements-export.txt"))
            faults.append(
                f"export: {name}: the package {missing[0]} is missing: run `make {target}`, or "
                f"pip install -r envs/{file}"
            )
    return faults
