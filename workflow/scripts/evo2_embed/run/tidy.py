"""Delete what finished bundles need no more: their pack files and shards."""

import shutil
from dataclasses import dataclass, field
from pathlib import Path

from evo2_embed.run.finished import FinishedBundles
from evo2_embed.run.frozen import Run


@dataclass
class Tidied:
    """What was deleted, or may be.

    Attributes
    ----------
    files, size : int
        Number of files, and their bytes.
    kept : list of str
        Bundles of which something was kept, since they are not finished.
    """

    files: int = 0
    size: int = 0
    kept: list[str] = field(default_factory=list)


def tidy(run: Run, results: Path, bundles: list[str] | None = None, delete: bool = True) -> Tidied:
    """Delete the pack files and shards of finished bundles, with their saved work.

    The pack files of a bundle are kept until it is finished in all extractions, and until its part
    of the training set is written, if there is one.

    Parameters
    ----------
    run : Run
    results : Path
    bundles : list of str, optional
        Only these.
    delete : bool
        Whether to delete, or only to count.
    """
    finished, found = FinishedBundles(run, results), Tidied()
    for bundle in run.bundles if bundles is None else bundles:
        done = [name for name in run.settings.extractions if finished.has(name, bundle)]
        folders = [results / "shards" / name / bundle for name in done]
        exports = run.jobs("export_packs", bundle=bundle)
        exported = all((results / job.outputs["record"]).exists() for job in exports)
        if len(done) == len(run.settings.extractions) and exported:
            folders.append(results / "packs" / bundle)
        else:
            found.kept.append(bundle)
        for folder in folders:
            _remove(folder, results, found, delete)
    return found


def _remove(folder: Path, results: Path, found: Tidied, delete: bool) -> None:
    """Delete a folder, and those above it that are empty then, below the results."""
    sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    found.files += len(sizes)
    found.size += sum(sizes)
    if not delete or not folder.is_dir():
        return
    shutil.rmtree(folder)
    above = folder.parent
    while above.parent != results.parent and not any(above.iterdir()):
        above.rmdir()
        above = above.parent
