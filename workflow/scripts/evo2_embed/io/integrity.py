"""Files that contain the digest of their own bytes, so that reading detects any damage.

A Parquet file has its digest in the key-value metadata of its footer, a JSON object under its own
key. The digest is the SHA-256 of the whole file, with zeros instead of the digest itself.
"""

import hashlib
import json
import os
import re
from functools import lru_cache
from pathlib import Path

from evo2_embed.io.digests import file_sha256, settings_digest
from evo2_embed.io.errors import InputError

JSON_KEY = "seal"
PARQUET_KEY = b"evo2_embed_seal"
UNSEALED = b"0" * 64

# The key, the header of the value in Thrift's compact protocol, and the value.
_PATTERN = re.compile(PARQUET_KEY + b"..([0-9a-f]{64})", re.DOTALL)
_BLOCK = 1 << 20
_TAIL = 8  # length of the footer, and the magic number
_MOST_FOOTER = 1 << 28


def seal_parquet(path: Path) -> None:
    """Replace `UNSEALED` in the metadata of a file by the digest of the file."""
    with open(path, "r+b") as file:
        offset, _ = _find(file)
        digest = _digest(file, offset)
        file.seek(offset)
        file.write(digest)


def is_sealed(path: str | Path) -> bool:
    """Whether a Parquet file has a digest, and has not changed since."""
    return _is_sealed(*_version(path))


def has_digest(path: str | Path, sha256: str) -> bool:
    """Whether a file has this digest."""
    return _sha256(*_version(path)) == sha256


# Each version of a file is read once: a process may open the same file many times.
def _version(path: str | Path) -> tuple[str, int, int, int]:
    state = os.stat(path)
    return str(path), state.st_mtime_ns, state.st_size, state.st_ino


@lru_cache(maxsize=4096)
def _sha256(path: str, *version: int) -> str:
    return file_sha256(path)


@lru_cache(maxsize=4096)
def _is_sealed(path: str, *version: int) -> bool:
    with open(path, "rb") as file:
        try:
            offset, digest = _find(file)
        except ValueError:
            return False
        return _digest(file, offset) == digest


def _find(file) -> tuple[int, bytes]:
    """Offset of the digest, and the digest; ValueError if there is none."""
    size = file.seek(0, os.SEEK_END)
    if size < _TAIL:
        raise ValueError("too short")
    file.seek(size - _TAIL)
    length = int.from_bytes(file.read(4), "little")
    if length > min(size - _TAIL, _MOST_FOOTER):
        raise ValueError("no footer")
    start = size - _TAIL - length
    file.seek(start)
    match = _PATTERN.search(file.read(length))
    if match is None:
        raise ValueError("no seal")
    return start + match.start(1), match[1]


def _digest(file, offset: int) -> bytes:
    """Digest of a file, with `UNSEALED` instead of the bytes at `offset`."""
    digest = hashlib.sha256()
    file.seek(0)
    left = offset
    while left and (block := file.read(min(_BLOCK, left))):
        digest.update(block)
        left -= len(block)
    digest.update(UNSEALED)
    file.seek(offset + len(UNSEALED))
    while block := file.read(_BLOCK):
        digest.update(block)
    return digest.hexdigest().encode()


def seal_json(value: dict) -> dict:
    """A JSON-able mapping with its digest as its last key."""
    return {**value, JSON_KEY: settings_digest(value)}


def open_json(text: bytes, source: str | Path) -> dict:
    """The mapping given to `seal_json`, without its digest.

    Raises
    ------
    InputError
        If it is damaged, or has no digest.
    """
    try:
        value = json.loads(text)
        digest = value.pop(JSON_KEY)
    except (ValueError, AttributeError, KeyError, TypeError):
        digest = value = None
    if value is None or settings_digest(value) != digest:
        raise InputError(f"{source}: damaged or edited; delete {source} and rerun to redo it")
    return value
