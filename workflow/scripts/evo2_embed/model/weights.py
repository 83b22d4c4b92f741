"""Weights: bundled, local or fetched once from the hub, and never seen half-written."""

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
from evo2_embed.model.models import TINY, bundled_checkpoint, hub_repository


def fetch_model(name: str, checkpoint: str | None, directory: str, record: str) -> None:
    """See that a model's weights are at hand, and record where they are and their digest.

    Parameters
    ----------
    name : str
        A name of `models.model_names()`.
    checkpoint : str or None
        A local file; nothing is fetched then.
    directory : str
        Where fetched checkpoints are kept.
    record : str
        JSON file to write: name, path and sha256.

    Raises
    ------
    InputError
        When the file is no checkpoint, or cannot be fetched.
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
    """Fetch a named checkpoint into a folder, unless it is there.

    The hub holds it as one file or in parts; either way `{name}.pt` appears whole, and workflows
    that share the folder wait for one another.

    Parameters
    ----------
    name : str
    directory : Path
    download : callable, optional
        Stands in for `huggingface_hub.snapshot_download`.
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
                check_archive(temporary, f"{name}.pt, as fetched")
    return path


def check_weights(path: str, sha256: str) -> None:
    """See that a checkpoint is the one that its record names.

    Raises
    ------
    InputError
        When it is gone, or another one, or damaged.
    """
    if not Path(path).is_file():
        raise InputError(f"{path}: the weights are gone; put them back, or rerun fetch_model")
    if file_sha256(path) != sha256:
        raise InputError(
            f"{path}: not the weights that the run began with, or damaged; put those back, or have "
            "them fetched again (--forcerun fetch_model)"
        )


def _download(name: str, scratch: Path, download: Callable | None) -> list[Path]:
    if download is None:
        from huggingface_hub import snapshot_download as download
    repository = hub_repository(name)
    try:
        download(repo_id=repository, local_dir=str(scratch), allow_patterns=[f"{name}.pt*"])
    except Exception as error:  # whatever the client raises: no network, no access, no disk
        reason = " ".join(str(error).split())[:300]
        raise InputError(
            f"model {name}: cannot be fetched from '{repository}' ({type(error).__name__}: "
            f"{reason}); give a local file as model.checkpoint where there is no network"
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
            f"model {name}: '{repository}' gave neither {name}.pt nor all of its parts "
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
    """See that a file is one of `torch.save`, with its end.

    That writes a zip archive, whose table of contents stands at its end: a file that is cut off is
    found without reading it.

    Raises
    ------
    InputError
        When it is not; it is called `shown` there.
    """
    if not zipfile.is_zipfile(path):
        raise InputError(f"{shown or path}: not a whole checkpoint (wanted: a file of torch.save)")
