"""Weights, disk, temporary files and memory."""

import os
import re
import shutil
import tempfile
from pathlib import Path

from evo2_embed.doctor.findings import Finding, fail, ok, warn
from evo2_embed.io.digests import file_sha256
from evo2_embed.io.errors import InputError
from evo2_embed.io.files import read_json
from evo2_embed.io.remote import address_of
from evo2_embed.io.text import human_bytes
from evo2_embed.model.archive import check_archive
from evo2_embed.model.weights import weights_path
from evo2_embed.settings.extraction import Model

# Estimates of sizes can be too small by this factor.
MARGIN = 1.2


def weight_bytes(name: str, path: Path) -> int:
    """Size of a checkpoint: of its file, or from the number of parameters in the model's name."""
    if path.is_file():
        return path.stat().st_size
    match = re.search(r"_(\d+)b", name)
    return int(match[1]) * 2_000_000_000 if match else 0


def weights_finding(model: Model, directory: str, record: str | None = None) -> Finding:
    """Whether the weights exist and are complete.

    Parameters
    ----------
    model, directory
        As for `weights_path`.
    record : str, optional
        The record that `weights.fetch_model` wrote in an earlier run. The weights are read and
        compared with it: 14 GB for a 7B model.
    """
    path, what = weights_path(model, directory), f"weights of {model.name}"
    if not path.is_file():
        if address_of(str(path)):
            return warn(what, f"{address_of(str(path))}: fetched when a run needs it")
        if model.checkpoint is not None:
            return fail(what, f"{path}: no such file (model.checkpoint)")
        return _to_be_fetched(what, model.name, path)
    try:
        check_archive(path)
    except InputError as error:
        again = "" if model.checkpoint else "; delete it, then it is downloaded again"
        return fail(what, f"{error}{again}")
    shown = f"{path}, {human_bytes(path.stat().st_size)}"
    if record is None or not Path(record).is_file():
        return ok(what, f"{shown}, complete")
    if read_json(record)["sha256"] != file_sha256(path):
        return warn(
            what,
            f"{shown}: differs from the weights of earlier results; to embed all with this file, "
            f"delete {record}",
        )
    return ok(what, f"{shown}, the same as in {record}")


def disk_finding(folder: str, needed_bytes: int | None) -> Finding:
    """Free disk space of a folder, compared with the size of the results."""
    free = shutil.disk_usage(_existing(Path(folder))).free
    shown = f"{human_bytes(free)} free in {folder}"
    if needed_bytes is None:
        return ok("disk", shown)
    text = f"{shown}, about {human_bytes(needed_bytes)} needed"
    if needed_bytes <= free:
        return ok("disk", text)
    # The size is an estimate; each job computes it exactly for its shard.
    finding = fail if needed_bytes > MARGIN * free else warn
    return finding("disk", f"{text}: free space, or embed fewer layers, larger bins or float16")


def temporary_finding(needed_bytes: int = 0) -> Finding:
    """Whether temporary files can be written, and the space for them, compared with what one job
    needs."""
    try:
        with tempfile.NamedTemporaryFile(prefix="evo2-embed.") as handle:
            handle.write(b"x" * 4096)
            handle.flush()
            folder = Path(handle.name).parent
    except OSError as error:
        reason = error.strerror or str(error)
        return fail("temporary files", f"cannot be written ({reason}): set TMPDIR, or free space")
    free = shutil.disk_usage(folder).free
    text = f"{human_bytes(free)} free in {folder}"
    if needed_bytes:
        text += f", a job needs about {human_bytes(needed_bytes)} for copies of FASTA files"
    if needed_bytes <= free:
        return ok("temporary files", text)
    finding = fail if needed_bytes > MARGIN * free else warn
    return finding("temporary files", f"{text}: set TMPDIR, or compress gzip files with bgzip")


def cache_finding() -> Finding:
    """Whether Snakemake can write its cache, without which it does not start."""
    caches = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    folder = Path(caches) / "snakemake"
    if os.access(_existing(folder), os.W_OK | os.X_OK):
        return ok("cache", f"in {folder}")
    return fail("cache", f"{folder}: cannot be written: set XDG_CACHE_HOME to a folder that can")


def memory_finding(needed_bytes: int) -> Finding:
    """Memory that this process can use, compared with the weights, which are loaded through it."""
    from evo2_embed.engine.memory import free_host_bytes

    free = free_host_bytes()
    text = f"{human_bytes(free)} free, the weights need about {human_bytes(needed_bytes)}"
    if needed_bytes > free:
        return fail(
            "memory", f"{text}: give the job more memory (--set-resources embed_shard:mem_mb=...)"
        )
    return ok("memory", text)


def _to_be_fetched(what: str, name: str, path: Path) -> Finding:
    size = weight_bytes(name, path)
    free = shutil.disk_usage(_existing(path.parent)).free
    text = f"not in {path.parent} yet: about {human_bytes(size)} to download"
    if size > free:
        return fail(what, f"{text}, and {human_bytes(free)} are free there (model_directory)")
    return warn(what, f"{text}; fetch_model downloads them and needs the network")


def _existing(folder: Path) -> Path:
    """The folder, or the nearest parent that exists."""
    folder = folder.absolute()
    return next(path for path in (folder, *folder.parents) if path.exists())
