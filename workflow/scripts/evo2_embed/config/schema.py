"""Faults of a configuration against its schema, one line each."""

import difflib
import json
import math
from collections.abc import Iterable

from jsonschema import Draft202012Validator

from evo2_embed.io.text import shown
from evo2_embed.settings.schema import allowed, bounds, config_schema

MOST_VALUE = 300  # most characters of a value in a message


def schema_faults(config: dict) -> list[str]:
    """All violations of the schema, one line each."""
    if not isinstance(config, dict):
        return ["config: not a mapping of keys to values"]
    faults = _not_finite(config)
    # NaN is within all bounds, for no comparison with it is true.
    wrong = {fault.partition(": ")[0] for fault in faults}
    for error in Draft202012Validator(config_schema()).iter_errors(config):
        if _name(error.absolute_path) not in wrong:
            faults += _explain(error)
    return sorted(set(faults))


def _not_finite(value: object, path: tuple = ()) -> list[str]:
    """One line per number that is NaN or infinite, at any depth."""
    if isinstance(value, float) and not math.isfinite(value):
        return [f"{_name(path)}: {value} is not allowed (allowed: a finite number)"]
    parts = value.items() if isinstance(value, dict) else ()
    parts = enumerate(value) if isinstance(value, list) else parts
    return [line for key, part in parts for line in _not_finite(part, (*path, key))]


def _name(path: Iterable) -> str:
    """A key with those above it."""
    return ".".join(shown(part) for part in path)


def _explain(error) -> list[str]:
    where = _name(error.absolute_path)
    prefix = f"{where}: " if where else ""
    value = shown(json.dumps(error.instance, default=str), MOST_VALUE)
    schema = error.schema
    if error.validator == "additionalProperties":
        known = list(schema["properties"])
        unknown = [key for key in error.instance if key not in known]
        return [f"{prefix}unknown key '{shown(key)}' ({hint(str(key), known)})" for key in unknown]
    if error.validator == "required":
        missing = [key for key in error.validator_value if key not in error.instance]
        return [f"{prefix}key '{key}' is missing" for key in missing]
    if error.validator == "enum":
        return [f"{prefix}{value} is not allowed (allowed: {', '.join(allowed(schema))})"]
    if error.validator in ("minimum", "maximum"):
        return [f"{prefix}{value} is out of bounds (allowed: {bounds(schema)})"]
    if error.validator == "type":
        wanted = error.validator_value
        wanted = " or ".join(wanted) if isinstance(wanted, list) else wanted
        return [f"{prefix}{value} is of the wrong type (allowed: {wanted})"]
    if error.validator == "anyOf":
        # A list, or a mapping, is compared with the alternative of its type.
        kind = {list: "array", dict: "object", str: "string"}.get(type(error.instance))
        options = schema["anyOf"]
        alike = [i for i, option in enumerate(options) if kind and option.get("type") == kind]
        if kind == "object":
            # Of several mappings, the first that has one of the keys.
            keyed = [i for i in alike if set(options[i]["properties"]).intersection(error.instance)]
            alike = keyed[:1] or alike[:1]
        inner = [e for e in error.context if e.schema_path[0] in alike]
        if inner:
            return [line for e in inner for line in _explain(e)]
        return [f"{prefix}{value} is not allowed (allowed: {', '.join(allowed(schema))})"]
    if error.validator == "pattern":
        return [f"{prefix}{value} is not a valid name (allowed: {error.validator_value})"]
    if error.validator == "uniqueItems":
        return [f"{prefix}{value} has a duplicate entry (allowed: each once)"]
    return [f"{prefix}{error.message.splitlines()[0][:300]}"]


def hint(key: str, known: list[str]) -> str:
    """Allowed names for an unknown name, and the most similar one."""
    close = difflib.get_close_matches(key, known, n=1)
    names = f"allowed: {', '.join(known)}"
    return f"did you mean '{close[0]}'? {names}" if close else names
