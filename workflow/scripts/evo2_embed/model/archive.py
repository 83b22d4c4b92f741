"""Checkpoints as files of `torch.save`."""

import zipfile
from pathlib import Path

from evo2_embed.io.errors import InputError


def check_archive(path: Path, shown: str | None = None) -> None:
    """Check that a file is a complete file of `torch.save`.

    `torch.save` writes a zip archive with its table of contents at the end, so a truncated file is
    detected without reading it.

    Raises
    ------
    InputError
        If it cannot be read, or is not complete; the message names `shown`.
    """
    try:
        with open(path, "rb") as file:
            complete = zipfile.is_zipfile(file)
    except OSError as error:
        raise InputError(f"{shown or path}: cannot be read ({error.strerror})") from error
    if not complete:
        raise InputError(
            f"{shown or path}: not a complete checkpoint (wanted: a file of torch.save)"
        )
