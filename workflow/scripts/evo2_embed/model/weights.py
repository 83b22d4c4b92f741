"""Weights: bundled, local, or downloaded once from the hub; written atomically."""

import re
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

from evo2_embed.io.digests import file_sha256
from evo2_embed.io.errors import InputError
from evo2_embed.io.files import atomic_path, write_json
from evo2_embed.io.locks import exclusive
from evo2_embed.io.logs import log
from evo2_embed.model.registry import TINY, bundled_checkpoint, hub_repository


def fetch_model(name: str, checkpoint: str | None, directory: str, record: str) -> None:
    """Download a model's weights if needed, and record their path and digest.

    Parameters
    ----------
    name : str
        A name of `registry.model_names()`.
    checkpoint : str or None
        A local file; nothing is downloaded then.
    directory : str
        Folder of downloaded checkpoints.
    record : str
        JSON file to write: name, path and sha256.

    Raises
    ------
    InputError
        If the file is not a checkpoint, or cannot be downloaded.
    """
    if checkpoint is not None:
        path = Path(checkpoint)
    elif name == TINY:
        path = bundled_checkpoint()
    else:
        path = fetch_checkpoint(name, Path(directory))
    check_archive(path)
    log.info("%s: %s, %.1f MB", name, path, path.stat().st_size / 1e6)
    write_json(record, {"name": name, "path": str(path.resolve()), "sha256": file_sha256(path)})


def fetch_checkpoint(name: str, directory: Path, download: Callable | None = None) -> Path:
    """Download a checkpoint into a folder, unless it exists.

    The hub has it as one file or in parts; `{name}.pt` is written atomically in both cases, and
    workflows that share the folder wait for each other.

    Parameters
    ----------
    name : str
    directory : Path
    download : callable, optional
        Replaces `huggingface_hub.snapshot_download`.
    """
    path = directory / f"{name}.pt"
    directory.mkdir(parents=True, exist_ok=True)
    with exclusive(directory / f".{name}.lock"):
        if path.exists():
            return path
        # On the same disk as the result: a 40B checkpoint is 80 GB.
        with tempfile.TemporaryDirectory(dir=directory, prefix=f".{name}.") as scratch:
            files = _download(name, Path(scratch), download)
            with atomic_path(path) as temporary:
                if len(files) == 1:
                    files[0].resolve().replace(temporary)
                else:
                    _join(files, temporary)
                check_archive(temporary, f"{name}.pt, as downloaded")
    return path


def check_weights(path: str, sha256: str) -> None:
    """Check that a checkpoint is the file in its record.

    Raises
    ------
    InputError
        If it is missing, a different file, or damaged.
    """
    if not Path(path).is_file():
        raise InputError(f"{path}: the weights are missing; restore them, or rerun fetch_model")
    if file_sha256(path) != sha256:
        raise InputError(
            f"{path}: not the weights at the start of the run, or damaged; restore those, or "
            "download them again (--forcerun fetch_model)"
        )


def _download(name: str, scratch: Path, download: Callable | None) -> list[Path]:
    if download is None:
        from huggingface_hub import snapshot_download as download
    repository = hub_repository(name)
    try:
        download(repo_id=repository, local_dir=str(scratch), allow_patterns=[f"{name}.pt*"])
    except Exception as error:  # any error of the client: network, access, disk
        reason = " ".join(str(error).split())[:300]
        raise InputError(
            f"model {name}: cannot be downloaded from '{repository}' ({type(error).__name__}: "
            f"{reason}); without a network, set model.checkpoint to a local file"
        ) from error
    whole = scratch / f"{name}.pt"
    parts = {
        int(match[1]): path
        for path in scratch.iterdir()
        if (match := re.fullmatch(rf"{re.escape(name)}\.pt\.part(\d+)", path.name))
    }
    if whole.exists():
        return [whole]
    if not parts or sorted(parts) != list(range(len(parts))):
        raise InputError(
            f"model {name}: '{repository}' has neither {name}.pt nor all its parts "
            f"(parts found: {sorted(parts) or 'none'})"
        )
    return [parts[number] for number in sorted(parts)]


def _join(parts: list[Path], target: Path) -> None:
    with open(target, "wb") as whole:
        for part in parts:
            with open(part, "rb") as handle:
                shutil.copyfileobj(handle, whole, 64 << 20)
            part.resolve().unlink()


def check_archive(path: Path, shown: str | None = None) -> None:
    """Check that a file is a complete file of `torch.save`.

    `torch.save` writes a zip archive with its table of contents at the end, so a truncated file is
    detected without reading it.

    Raises
    ------
    InputError
        If it is not complete; the message names `shown`.
    """
    if not zipfile.is_zipfile(path):
        raise InputError(
            f"{shown or path}: not a complete checkpoint (wanted: a file of torch.save)"
        )
