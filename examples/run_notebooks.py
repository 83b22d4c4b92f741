"""Run the workflow in this folder, then each notebook whole: `make examples`."""

import os
import subprocess
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
NOTEBOOKS = sorted(path.name for path in HERE.glob("*.ipynb"))


def run_workflow(folder: Path) -> None:
    """Run the workflow for all notebooks in a folder with `config/` and `phages/`."""
    snakemake = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile")]
    subprocess.run(
        [*snakemake, "-d", str(folder), "--cores", "2", "--quiet", "rules", "host"], check=True
    )


def run_notebook(path: Path, folder: Path) -> nbformat.NotebookNode:
    """A notebook with what its cells show, run from the first to the last cell.

    Parameters
    ----------
    path : Path
    folder : Path
        The working folder, with the results of the workflow.

    Raises
    ------
    nbclient.exceptions.CellExecutionError
        If a cell fails.
    """
    notebook = nbformat.read(path, as_version=4)
    resources = {"metadata": {"path": str(folder)}}
    client = NotebookClient(notebook, timeout=120, kernel_name="python3", resources=resources)
    client.execute(env={**os.environ, "PYTHONPATH": str(ROOT / "workflow" / "scripts")})
    for cell in notebook.cells:
        cell.metadata = {}  # the times of this run
    return notebook


if __name__ == "__main__":
    run_workflow(HERE)
    for name in NOTEBOOKS:
        nbformat.write(run_notebook(HERE / name, HERE), HERE / name)
        print(f"examples/{name}")
