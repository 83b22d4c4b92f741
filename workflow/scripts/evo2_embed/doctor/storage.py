"""Weights, disk, temporary files and memory."""

import re
import shutil
import tempfile
from pathlib import Path

from evo2_embed.doctor.findings import Finding, fault, fine, remark
from evo2_embed.io.digests import file_sha256
from evo2_embed.io.errors import InputError
from evo2_embed.io.files import read_json
from evo2_embed.io.text import human_bytes
from evo2_embed.model.models import TINY, bundled_checkpoint
from evo2_embed.model.weights import check_archive

# How far an estimate of sizes may be off.
MARGIN = 1.2


def weights_path(model: dict, directory: str) -> Path:
    """Where the weights of a model are, or will be once they are fetched.

    Parameters
    ----------
    model : dict
        `name` and `checkpoint`, as in the configuration.
    directory : str
        Where fetched checkpoints are kept.
    """
    if model["checkpoint"] is not None:
        return Path(model["checkpoint"])
    return (
        bundled_checkpoint() if model["name"] == TINY else Path(directory) / f"{model['name']}.pt"
    )


def weight_bytes(name: str, path: Path) -> int:
    """Size of a checkpoint: of the file, or from the billions of parameters in the model's name."""
    if path.is_file():
        return path.stat().st_size
    match = re.search(r"_(\d+)b", name)
    return int(match[1]) * 2_000_000_000 if match else 0


def weights_finding(model: dict, directory: str, record: str | None = None) -> Finding:
    """Whether the weights are at hand, and whole.

    Parameters
    ----------
    model, directory
        As for `weights_path`.
    record : str, optional
        What `checkpoint.fetch_model` noted in an earlier run. The file is read and compared with
        it: 14 GB for a 7B model.
    """
    path, what = weights_path(model, directory), f"weights of {model['name']}"
    if not path.is_file():
        if model["checkpoint"] is not None:
            return fault(what, f"{path}: no such file (model.checkpoint)")
        return _to_be_fetched(what, model["name"], path)
    try:
        check_archive(path)
    except InputError as error:
        again = "" if model["checkpoint"] else "; delete it, and it is fetched again"
        return fault(what, f"{error}{again}")
    shown = f"{path}, {human_bytes(path.stat().st_size)}"
    if record is None or not Path(record).is_file():
        return fine(what, f"{shown}, whole")
    if read_json(record)["sha256"] != file_sha256(path):
        return remark(
            what, f"{shown}: not the file that results were made with ({record}); they are redone"
        )
    return fine(what, f"{shown}, the same as in {record}")


def disk_finding(folder: str, needed_bytes: int | None) -> Finding:
    """Free disk under a folder, against what a run will write."""
    free = shutil.disk_usage(_existing(Path(folder))).free
    shown = f"{human_bytes(free)} free under {folder}"
    if needed_bytes is None:
        return fine("disk", shown)
    text = f"{shown}, about {human_bytes(needed_bytes)} needed"
    if needed_bytes <= free:
        return fine("disk", text)
    # What is needed is an estimate; the jobs themselves know better, each for its shard.
    finding = fault if needed_bytes > MARGIN * free else remark
    return finding("disk", f"{text}: free some, or embed fewer layers, larger bins or float16")


def temporary_finding() -> Finding:
    """Whether temporary files can be written."""
    try:
        with tempfile.NamedTemporaryFile(prefix="evo2-embed.") as handle:
            handle.write(b"x" * 4096)
            handle.flush()
            folder = Path(handle.name).parent
    except OSError as error:
        reason = error.strerror or str(error)
        return fault("temporary files", f"none can be written ({reason}): set TMPDIR, or free some")
    return fine("temporary files", f"go to {folder}")


def memory_finding(needed_bytes: int) -> Finding:
    """Memory that is free for this process, against the weights, which pass through it."""
    from evo2_embed.engine.memory import free_host_bytes

    free = free_host_bytes()
    text = f"{human_bytes(free)} free, the weights take about {human_bytes(needed_bytes)}"
    if needed_bytes > free:
        return fault(
            "memory", f"{text}: give the job more (--set-resources embed_shard:mem_mb=...)"
        )
    return fine("memory", text)


def _to_be_fetched(what: str, name: str, path: Path) -> Finding:
    size = weight_bytes(name, path)
    free = shutil.disk_usage(_existing(path.parent)).free
    text = f"not in {path.parent} yet: about {human_bytes(size)} to fetch"
    if size > free:
        return fault(what, f"{text}, and {human_bytes(free)} are free there (model_directory)")
    return remark(what, f"{text}; fetch_model does that, and needs the network")


def _existing(folder: Path) -> Path:
    """The folder, or the nearest one above it that is there."""
    folder = folder.absolute()
    return next(path for path in (folder, *folder.parents) if path.exists())
