"""What a saved probe was made from. Light: checks ask."""

import json
from pathlib import Path

from evo2_embed.io.safetensors import ArrayFile

ORIGIN = "evo2_embed"  # the entry of the metadata with settings and digests


def saved_from(path: str | Path) -> dict:
    """Settings and digests that a saved probe was made from; nothing if it is of something else."""
    return json.loads(ArrayFile.open(path).metadata.get(ORIGIN, "{}"))
