"""The documentation of all keys, from the JSON schema."""

from collections.abc import Iterator

from evo2_embed.settings.schema import allowed, plain

_HEAD = """\
# All keys of the configuration

`make schema` writes this page from `workflow/scripts/evo2_embed/settings/`: change that.
[config/README.md](../config/README.md) explains how to use the keys, and
[config.yaml](../config/config.yaml) shows them in place.
"""
_COLUMNS = "| key | meaning | allowed | default |\n|---|---|---|---|"


def keys_table(schema: dict) -> str:
    """Markdown with a table of the keys of each section.

    Parameters
    ----------
    schema : dict
        As `schema.config_schema` gives it.
    """
    sections = {name: inner for name, inner in schema["properties"].items() if _keys_of(inner)}
    single = {name: inner for name, inner in schema["properties"].items() if name not in sections}
    parts = [_HEAD, _table({**schema, "properties": single}, "")]
    for name, inner in sections.items():
        prefix, below = _keys_of(inner)
        parts.append(f"## {name}\n\n{inner['description']}\n")
        parts.append(_table(below, f"{name}.{prefix}"))
    return "\n".join(parts)


def _table(section: dict, prefix: str) -> str:
    return "\n".join([_COLUMNS, *_rows(section, prefix)]) + "\n"


def _rows(section: dict, prefix: str) -> Iterator[str]:
    """A row per key, with the keys of the sections in it behind them."""
    required = section.get("required", [])
    for name, schema in section["properties"].items():
        values, default = ", ".join(allowed(schema)), plain(schema.get("default", ""))
        below = _keys_of(schema)
        if below:
            values, default = "a section", ""
        cells = (f"`{prefix}{name}`", schema["description"], values, default)
        yield f"| {' | '.join(cells[:3])} | {'required' if name in required else default} |"
        if below and "default" in schema:
            yield from _rows(below[1], f"{prefix}{name}.{below[0]}")


def _keys_of(schema: dict) -> tuple[str, dict] | None:
    """What stands before the keys of a section, and their schema; None for a key with a value."""
    if "properties" in schema:
        return "", schema
    entries = schema.get("additionalProperties")
    return ("NAME.", entries) if entries else None
