"""The JSON schema of the configuration, from its sections."""

from dataclasses import MISSING, Field, fields, is_dataclass
from functools import cache
from types import NoneType
from typing import Literal, get_args, get_origin

from evo2_embed.settings.section import Section
from evo2_embed.settings.settings import Settings

_TYPES = {int: "integer", float: "number", str: "string", bool: "boolean"}
_WORDS = {
    "integer": "a whole number, {}",
    "number": "a number, {}",
    "string": "text",
    "boolean": "true, false",
    "array": "a list of them",
    "null": "null",
}
# Names of extractions and fusions become names of folders.
_NAME = r"^[A-Za-z0-9][A-Za-z0-9_-]{0,63}(?!\n)$"


@cache
def config_schema() -> dict:
    """The JSON schema of a configuration (draft 2020-12). Do not change it: it is kept."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Configuration of evo2-embed",
        **section_schema(Settings),
    }


def section_schema(section: type[Section]) -> dict:
    """The JSON schema of a section: an object without other keys."""
    items = fields(section)
    schema = {"type": "object", "additionalProperties": False}
    required = [item.name for item in items if _is_required(item)]
    if required:
        schema["required"] = required
    return {**schema, "properties": {item.name: _key_schema(item) for item in items}}


def _is_required(item: Field) -> bool:
    return item.default is MISSING and item.default_factory is MISSING


def _key_schema(item: Field) -> dict:
    told = item.metadata
    kind = told["schema"] or {**_type_schema(item.type, told["keywords"])}
    schema = {"description": told["description"], **kind}
    if item.default_factory is not MISSING:
        default = item.default_factory()
        schema["default"] = {} if isinstance(default, Section) else default
    elif item.default is not MISSING and not (item.default is None and is_dataclass(item.type)):
        schema["default"] = item.default
    return schema


def _type_schema(kind, keywords: dict) -> dict:
    """The JSON schema of a type; the keywords are those of its numbers, texts or mappings."""
    if is_dataclass(kind):
        return section_schema(kind)
    if kind in _TYPES:
        return {"type": _TYPES[kind], **keywords}
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Literal:
        return {"enum": list(parts)}
    if origin is list:
        return {"type": "array", "uniqueItems": True, "items": _type_schema(parts[0], {})}
    if origin is dict:
        names, entries = {"pattern": _NAME}, section_schema(parts[1])
        more = {"propertyNames": names, "additionalProperties": entries}
        return {"type": "object", **keywords, **more}
    first, second = parts
    if second is NoneType:
        schema = _type_schema(first, keywords)
        return {**schema, "type": [schema["type"], "null"]}
    return {"anyOf": [{"const": get_args(first)[0]}, _type_schema(second, keywords)]}


def allowed(schema: dict) -> list[str]:
    """The alternatives that a schema allows, in words."""
    words = [word for inner in schema.get("anyOf", ()) for word in allowed(inner)]
    words += [plain(value) for value in schema.get("enum", [])]
    words += [plain(schema["const"])] if "const" in schema else []
    kinds = schema.get("type", [])
    for kind in [kinds] if isinstance(kinds, str) else kinds:
        if kind == "object":
            properties = schema.get("properties", {}).items()
            words += [f"{{{name}: {bounds(inner)}}}" for name, inner in properties]
        else:
            words.append(_WORDS[kind].format(bounds(schema)))
    return words


def bounds(schema: dict) -> str:
    """The smallest and the largest number that a schema allows."""
    return f"{schema.get('minimum', '...')} to {schema.get('maximum', '...')}"


def plain(value) -> str:
    """A value as YAML has it."""
    names = {None: "null", True: "true", False: "false"}
    return names[value] if value is None or isinstance(value, bool) else str(value)
