"""Digests: of files, and of settings as canonical JSON."""

import hashlib
import json
from pathlib import Path


def file_sha256(path: str | Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal."""
    with open(path, "rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def settings_digest(settings: object) -> str:
    """SHA-256, in hexadecimal, of a JSON-able value; the order of mapping keys does not matter."""
    text = json.dumps(settings, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
