"""The packages that an export needs and the environment of the workflow does not have."""

from importlib.util import find_spec

from evo2_embed.settings.sections import Settings

# By export, the packages that only it needs.
NEEDED = {"anndata": ("anndata", "h5py"), "lance": ("lancedb",)}


def package_faults(settings: Settings) -> list[str]:
    """One line per export of a configuration whose packages are not installed. None is imported."""
    faults = []
    for name, packages in NEEDED.items():
        missing = [package for package in packages if find_spec(package) is None]
        if missing and getattr(settings.exports, name):
            faults.append(
                f"export: {name}: the package {missing[0]} is missing: run `make export-env`, or "
                "pip install -r envs/requirements-export.txt"
            )
    return faults
