"""Faults of a configuration against its schema, one line each."""

import difflib
import json

from jsonschema import Draft202012Validator

from evo2_embed.settings.schema import allowed, bounds, config_schema


def schema_faults(config: dict) -> list[str]:
    """All violations of the schema, one line each."""
    if not isinstance(config, dict):
        return ["config: not a mapping of keys to values"]
    errors = Draft202012Validator(config_schema()).iter_errors(config)
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
        inner = [e for e in error.context if kind and options[e.schema_path[0]].get("type") == kind]
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
