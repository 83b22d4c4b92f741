"""The schema of the configuration: what breaks it, a line each, and the defaults that it has."""

import copy
import difflib
import json
from functools import cache
from pathlib import Path

import yaml
from jsonschema import Draft202012Validator

SCHEMA = Path(__file__).resolve().parents[3] / "schemas" / "config.schema.yaml"


def schema_faults(config: dict) -> list[str]:
    """Every way in which a configuration breaks the schema, a line each."""
    if not isinstance(config, dict):
        return ["config: not a mapping of keys to values"]
    errors = Draft202012Validator(_schema()).iter_errors(config)
    faults = [line for error in errors for line in _explain(error)]
    return sorted(set(faults))


def _explain(error) -> list[str]:
    where = ".".join(str(part) for part in error.absolute_path)
    prefix = f"{where}: " if where else ""
    value = json.dumps(error.instance, default=str)
    schema = error.schema
    if error.validator == "additionalProperties":
        known = list(schema["properties"])
        unknown = [key for key in error.instance if key not in known]
        return [f"{prefix}unknown key '{key}' ({hint(str(key), known)})" for key in unknown]
    if error.validator == "required":
        missing = [key for key in error.validator_value if key not in error.instance]
        return [f"{prefix}key '{key}' is missing" for key in missing]
    if error.validator == "enum":
        allowed = ", ".join(_plain(value) for value in error.validator_value)
        return [f"{prefix}{value} is not allowed (allowed: {allowed})"]
    if error.validator in ("minimum", "maximum"):
        return [f"{prefix}{value} is out of bounds (allowed: {_bounds(schema)})"]
    if error.validator == "type":
        wanted = error.validator_value
        wanted = " or ".join(wanted) if isinstance(wanted, list) else wanted
        return [f"{prefix}{value} is of the wrong type (allowed: {wanted})"]
    if error.validator == "anyOf":
        # A list, or a mapping, is meant as the alternative that is one: say what is wrong in it.
        kind = {list: "array", dict: "object", str: "string"}.get(type(error.instance))
        inner = [e for e in error.context if kind and _type_of(error, e) == kind]
        if inner:
            return [line for e in inner for line in _explain(e)]
        return [f"{prefix}{value} is not allowed (allowed: {_alternatives(schema['anyOf'])})"]
    if error.validator == "pattern":
        return [f"{prefix}{value} is no valid name (allowed: {error.validator_value})"]
    if error.validator == "uniqueItems":
        return [f"{prefix}{value} has an entry twice (allowed: each once)"]
    return [f"{prefix}{error.message.splitlines()[0][:300]}"]


def _plain(value: str | None) -> str:
    """A value as YAML has it."""
    return "null" if value is None else value


def _type_of(error, inner) -> str | None:
    """Type of the alternative that an error of `anyOf` has one of its errors from."""
    return _resolved(error.schema["anyOf"][inner.schema_path[0]]).get("type")


def _resolved(schema: dict) -> dict:
    """A schema with what its `$ref` points to."""
    if "$ref" not in schema:
        return schema
    return {**_schema()["$defs"][schema["$ref"].rsplit("/", 1)[1]], **schema}


def _alternatives(schemas: list[dict]) -> str:
    words = []
    for schema in map(_resolved, schemas):
        if "anyOf" in schema:
            words.append(_alternatives(schema["anyOf"]))
        words += ["a list of them"] if schema.get("type") == "array" else []
        words += ["null"] if schema.get("type") == "null" else []
        words += [str(schema["const"])] if "const" in schema else []
        words += [str(value) for value in schema.get("enum", [])]
        if schema.get("type") == "integer":
            words.append(f"a whole number, {_bounds(schema)}")
        for key, inner in schema.get("properties", {}).items():
            words.append(f"{{{key}: {_bounds(inner)}}}")
    return ", ".join(words)


def _bounds(schema: dict) -> str:
    return f"{schema.get('minimum', '...')} to {schema.get('maximum', '...')}"


def hint(key: str, known: list[str]) -> str:
    """What is allowed in the place of an unknown name, and what it may have been meant to be."""
    close = difflib.get_close_matches(key, known, n=1)
    allowed = f"allowed: {', '.join(known)}"
    return f"did you mean '{close[0]}'? {allowed}" if close else allowed


@cache
def _schema() -> dict:
    return yaml.safe_load(SCHEMA.read_text())


def with_defaults(value, schema: dict | None = None):
    """A configuration, or a part and its schema, with all defaults filled in, at every level."""
    schema = _resolved(_schema() if schema is None else schema)
    if not isinstance(value, dict):
        return value
    for key, inner in schema.get("properties", {}).items():
        if key not in value and "default" in inner:
            value[key] = copy.deepcopy(inner["default"])
        if key in value:
            value[key] = with_defaults(value[key], inner)
    extra = schema.get("additionalProperties")
    if isinstance(extra, dict):
        for key in value:
            value[key] = with_defaults(value[key], extra)
    return value
