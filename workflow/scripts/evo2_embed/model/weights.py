"""Weights: where they are, and the record of their digest.

The record has no path: a project, or the folder of the weights, may move. The digest decides.
"""

import os
from pathlib import Path

from evo2_embed.io.digests import file_sha256
from evo2_embed.io.errors import InputError
from evo2_embed.io.files import read_json, write_json
from evo2_embed.io.logs import log
from evo2_embed.model.archive import check_archive
from evo2_embed.model.download import fetch_checkpoint
from evo2_embed.model.registry import TINY, bundled_checkpoint
from evo2_embed.settings.extraction import Model


def weights_path(model: Model, directory: str) -> Path:
    """Path of the weights of a model, also before they are downloaded.

    Parameters
    ----------
    model : Model
    directory : str
        Folder of downloaded checkpoints.
    """
    if model.checkpoint is not None:
        return Path(model.checkpoint)
    return bundled_checkpoint() if model.name == TINY else Path(directory) / f"{model.name}.pt"


def obtain_weights(model: Model, directory: str) -> Path:
    """Path of the weights of a model, downloaded if they are not there.

    Raises
    ------
    InputError
        If the file is missing, cannot be downloaded, or is not a checkpoint.
    """
    path = weights_path(model, directory)
    if model.checkpoint is None and model.name != TINY:
        fetch_checkpoint(model.name, path.parent)
    check_archive(path)
    return path


def fetch_model(model: Model, directory: str, record: str) -> None:
    """Download a model's weights if needed, and record their digest.

    Parameters
    ----------
    model : Model
        Nothing is downloaded if it names a local checkpoint.
    directory : str
        Folder of downloaded checkpoints.
    record : str
        JSON file to write: name and sha256.

    Raises
    ------
    InputError
        As `obtain_weights`.
    """
    path = obtain_weights(model, directory)
    log.info("%s: %s, %.1f MB", model.name, path, path.stat().st_size / 1e6)
    write_json(record, {"name": model.name, "sha256": file_sha256(path)})


def check_weights(path: Path, record: str) -> str:
    """Check that a checkpoint is the file whose digest is in the record; returns the digest.

    Raises
    ------
    InputError
        If it is a different file, or damaged.
    """
    digest = file_sha256(path)
    if digest != read_json(record)["sha256"]:
        raise InputError(
            f"{path}: differs from the weights of earlier results, or is damaged; restore those, "
            f"or delete {record} and rerun to embed all with this file"
        )
    return digest


def is_recorded(model: Model, record: str) -> bool:
    """Whether a record exists, and is not that of a local checkpoint that was replaced since.

    The record is then valid wherever the weights are now: each embedding job compares them with it.
    A local checkpoint that is newer than its record is read: 14 GB for a 7B model.
    """
    if not os.path.exists(record):
        return False
    path = model.checkpoint
    try:
        if path is None or os.stat(path).st_mtime_ns <= os.stat(record).st_mtime_ns:
            return True
        return file_sha256(path) == read_json(record)["sha256"]
    except (OSError, InputError):
        return False
