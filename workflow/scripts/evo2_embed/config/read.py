"""Configuration files, read strictly: what Snakemake accepts without a word is refused."""

import json
from pathlib import Path

import yaml

from evo2_embed.io.errors import InputError
from evo2_embed.io.text import shown

_MERGE = "tag:yaml.org,2002:merge"
_CODE = "__use_yte__"  # with this key, Snakemake runs Python code that the file contains


def read_yaml(path: str | Path) -> object:
    """The content of a YAML or JSON file.

    Raises
    ------
    InputError
        If it cannot be read, has a key twice in one mapping, or asks Snakemake to run its code.
    """
    try:
        content = _parse(Path(path).read_text(encoding="utf-8"))
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    except (OSError, yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(getattr(error, "strerror", None) or error).split())
        raise InputError(f"{path}: cannot be read ({reason})") from None
    if isinstance(content, dict) and _CODE in content:
        raise InputError(f"{path}: {_CODE}: code in a configuration is not allowed; remove the key")
    return content


def _parse(text: str) -> object:
    try:
        return json.loads(text, object_pairs_hook=_without_twins)
    except ValueError as error:
        if isinstance(error, InputError):
            raise
    return yaml.load(text, _Loader)


def _without_twins(pairs: list[tuple[str, object]]) -> dict:
    names = [name for name, _ in pairs]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"key '{shown(twice)}' is there twice")
    return dict(pairs)


class _Loader(yaml.SafeLoader):
    """The safe loader, but a key that a mapping has twice is an error; it takes the last."""

    def compose_mapping_node(self, anchor: str | None) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        lines: dict[tuple[str, str], int] = {}
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag == _MERGE:
                continue
            name, line = (key.tag, key.value), key.start_mark.line + 1
            if name in lines:
                raise InputError(
                    f"line {line}: key '{shown(key.value)}' is there twice (first in line "
                    f"{lines[name]})"
                )
            lines[name] = line
        return node
