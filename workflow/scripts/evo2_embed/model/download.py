"""Weights from the hub: downloaded once, resumed after a kill, written atomically."""

import os
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from evo2_embed.io.errors import InputError
from evo2_embed.io.files import disk_faults, remove, sync
from evo2_embed.io.locks import exclusive
from evo2_embed.model.archive import check_archive
from evo2_embed.model.registry import hub_repository


def fetch_checkpoint(name: str, directory: Path, download: Callable | None = None) -> Path:
    """Download a checkpoint into a folder, unless it exists.

    The hub has it as one file or in parts; `{name}.pt` is written atomically in both cases.
    Workflows that share the folder wait for each other. The files of a killed download stay in
    `.{name}.download` beside the checkpoint, and those that are complete are not downloaded again.

    Parameters
    ----------
    name : str
    directory : Path
        May be read-only if it has the checkpoint.
    download : callable, optional
        Replaces `huggingface_hub.snapshot_download`.

    Raises
    ------
    InputError
        If the checkpoint cannot be downloaded or written, or is not complete.
    """
    path = directory / f"{name}.pt"
    if path.exists():
        return path
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with _rights_of(directory), exclusive(directory / f".{name}.lock"):
            if not path.exists():
                _fetch(name, path, download)
    except PermissionError as error:
        raise InputError(
            f"{error.filename or directory}: cannot be written ({error.strerror}), and the folder "
            f"has no {name}.pt: let its owner download it, or set model_directory to another folder"
        ) from error
    return path


def _fetch(name: str, path: Path, download: Callable | None) -> None:
    # On the same disk as the result: a 40B checkpoint is 80 GB.
    scratch = path.parent / f".{name}.download"
    scratch.mkdir(exist_ok=True)
    for unfinished in scratch.rglob("*.incomplete"):
        unfinished.unlink()  # the hub's client resumes whole files only
    _download(name, scratch, download)
    try:
        with disk_faults(path):
            whole = _joined(_downloaded(name, scratch))
        check_archive(whole, f"{name}.pt, as downloaded")
        sync(whole)
        whole.replace(path)
    finally:
        remove(scratch)  # not worth resuming if this failed


def _download(name: str, scratch: Path, download: Callable | None) -> None:
    if download is None:
        _keep_caches_in(scratch)
        from huggingface_hub import snapshot_download as download
    repository = hub_repository(name)
    try:
        download(repo_id=repository, local_dir=str(scratch), allow_patterns=[f"{name}.pt*"])
    except Exception as error:  # any error of the client: network, access, disk
        reason = " ".join(str(error).split())[:300]
        raise InputError(
            f"model {name}: cannot be downloaded from '{repository}' ({type(error).__name__}: "
            f"{reason}); run again to resume, or without a network, set model.checkpoint to a "
            "local file"
        ) from error


def _keep_caches_in(scratch: Path) -> None:
    """Let the hub's client write its caches beside the download, not in the home folder.

    Call it before the client is imported.
    """
    if "HF_HOME" in os.environ:
        return
    caches = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    os.environ.setdefault("HF_TOKEN_PATH", os.path.join(caches, "huggingface", "token"))
    os.environ["HF_HOME"] = str(scratch.resolve() / "hub")


def _downloaded(name: str, scratch: Path) -> list[Path]:
    """The file, or its parts in their order."""
    whole = scratch / f"{name}.pt"
    if whole.exists():
        return [whole]
    parts = {
        int(match[1]): path
        for path in scratch.iterdir()
        if (match := re.fullmatch(rf"{re.escape(name)}\.pt\.part(\d+)", path.name))
    }
    if not parts or sorted(parts) != list(range(len(parts))):
        raise InputError(
            f"model {name}: '{hub_repository(name)}' has neither {name}.pt nor all its parts "
            f"(parts found: {sorted(parts) or 'none'})"
        )
    return [parts[number] for number in sorted(parts)]


def _joined(parts: list[Path]) -> Path:
    """The first file, with the others appended to it and deleted."""
    with open(parts[0], "ab") as whole:
        for part in parts[1:]:
            with open(part, "rb") as handle:
                shutil.copyfileobj(handle, whole, 64 << 20)
            part.unlink()
    return parts[0]


@contextmanager
def _rights_of(directory: Path) -> Iterator[None]:
    """Who may read and write the folder may also read and write what the block creates."""
    mask = os.umask(~directory.stat().st_mode & 0o777)
    try:
        yield
    finally:
        os.umask(mask)
