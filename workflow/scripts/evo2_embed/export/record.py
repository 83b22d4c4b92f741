"""An export and its record: what it was made from, and the digests of its files."""

from collections.abc import Callable
from pathlib import Path

from evo2_embed import __version__
from evo2_embed.dataset.dataset import Dataset
from evo2_embed.io.digests import file_sha256
from evo2_embed.io.files import write_json


def export_dataset(
    write: Callable[[Dataset, str, str], int],
    dataset: str,
    genomes: str,
    settings: dict,
    exported: str,
    record: str,
) -> None:
    """Write an export of a dataset, then its record.

    Parameters
    ----------
    write : callable
        Writes a dataset to a file or folder; from the dataset, the table of genomes and the path.
        It returns the number of rows.
    dataset : str
        The record of the dataset.
    genomes : str
        The table of genomes of the run.
    settings : dict
        Those of the rule.
    exported : str
        File or folder to write.
    record : str
        Its record, beside it.
    """
    opened, path = Dataset.open(dataset), Path(exported)
    rows = write(opened, genomes, exported)
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    entries = [
        {
            "file": str(file.relative_to(path.parent)),
            "bytes": file.stat().st_size,
            "sha256": file_sha256(file),
        }
        for file in files
        if file.is_file()
    ]
    made_from = {"settings": settings, "dataset": opened.record["digest"], "rows": rows}
    write_json(record, {"workflow": __version__, **made_from, "exported": entries})
