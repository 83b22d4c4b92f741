"""Configuration: checked against its schema, filled with defaults, and checked across its keys.

Everything a user can get wrong is found here, before any job, and all at once, a line a fault.
"""

import copy
import difflib
import json
from functools import cache
from pathlib import Path

import yaml
from jsonschema import Draft202012Validator

from evo2_embed import models
from evo2_embed.errors import InputError
from evo2_embed.presets import expand_layers
from evo2_embed.probes.labels import probe_faults
from evo2_embed.sheet import NOT_LITERAL, Genome, file_faults, is_literal, read_sheet

SCHEMA = Path(__file__).resolve().parents[2] / "schemas" / "config.schema.yaml"


def resolve(config: dict) -> tuple[dict, list[Genome]]:
    """Check a configuration and its sheet, and fill in every default.

    Parameters
    ----------
    config : dict
        As read from `config.yaml`.

    Returns
    -------
    settings : dict
        The configuration with every key present; each extraction has its model.
    genomes : list of Genome
        The rows of the sheet.

    Raises
    ------
    InputError
        One line for every fault.
    """
    faults = schema_faults(config)
    if faults:
        raise InputError("\n".join(faults + _faults_beside(config)))
    settings = _with_defaults(copy.deepcopy(config), _schema())
    settings["windows"]["stride"] = settings["windows"]["stride"] or settings["windows"]["size"]
    genomes, faults = _check_sheet(settings["genomes"])
    faults += _window_faults(settings)
    for name, extraction in settings["extractions"].items():
        extraction.setdefault("model", settings["model"])
        faults += _extraction_faults(f"extractions.{name}", extraction, settings)
    faults += _check_probe(settings, [genome.name for genome in genomes])
    if faults:
        raise InputError("\n".join(faults))
    return settings, genomes


def _check_sheet(path: str) -> tuple[list[Genome], list[str]]:
    genomes, faults = read_sheet(path)
    return genomes, faults + file_faults(path, genomes)


def _check_probe(settings: dict, genomes: list[str]) -> list[str]:
    probe = settings["probe"]
    if probe is not None and probe["gap"] is None:
        probe["gap"] = settings["windows"]["size"]
    fusions = [name for e in settings["extractions"].values() for name in e["fusion"]]
    return probe_faults(probe, genomes, fusions)


def _faults_beside(config: dict) -> list[str]:
    """What is wrong beside the faults of the schema, where one can say so in spite of them: the
    sheet, and the layers of extractions that are whole themselves."""
    if not isinstance(config, dict):
        return []
    faults = []
    if isinstance(config.get("genomes"), str):
        faults += _check_sheet(config["genomes"])[1]
    extractions = config.get("extractions")
    for name, extraction in extractions.items() if isinstance(extractions, dict) else ():
        alone = {
            "genomes": "-",
            "model": config.get("model", {}),
            "extractions": {name: extraction},
        }
        if not schema_faults(alone):
            alone = _with_defaults(copy.deepcopy(alone), _schema())
            complete = {"model": alone["model"], **alone["extractions"][name]}
            faults += _model_faults(f"extractions.{name}", complete)
    return faults


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
        return [f"{prefix}unknown key '{key}' ({_hint(str(key), known)})" for key in unknown]
    if error.validator == "required":
        missing = [key for key in error.validator_value if key not in error.instance]
        return [f"{prefix}key '{key}' is missing" for key in missing]
    if error.validator == "enum":
        allowed = ", ".join(map(str, error.validator_value))
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


def _hint(key: str, known: list[str]) -> str:
    close = difflib.get_close_matches(key, known, n=1)
    allowed = f"allowed: {', '.join(known)}"
    return f"did you mean '{close[0]}'? {allowed}" if close else allowed


@cache
def _schema() -> dict:
    return yaml.safe_load(SCHEMA.read_text())


def _with_defaults(value, schema: dict):
    """The value with the schema's defaults filled in, at every level."""
    schema = _resolved(schema)
    if not isinstance(value, dict):
        return value
    for key, inner in schema.get("properties", {}).items():
        if key not in value and "default" in inner:
            value[key] = copy.deepcopy(inner["default"])
        if key in value:
            value[key] = _with_defaults(value[key], inner)
    extra = schema.get("additionalProperties")
    if isinstance(extra, dict):
        for key in value:
            value[key] = _with_defaults(value[key], extra)
    return value


def _window_faults(settings: dict) -> list[str]:
    windows, packing = settings["windows"], settings["packing"]
    faults = []
    if windows["min_length"] > windows["size"]:
        faults.append(
            f"windows.min_length: {windows['min_length']} is more than windows.size "
            f"({windows['size']}), so every window would be skipped"
        )
    tokens = windows["size"] + packing["bos"]
    if tokens > packing["max_tokens"]:
        faults.append(
            f"packing.max_tokens: {packing['max_tokens']} is too small for one window of "
            f"{_tokens_of_window(settings)} (allowed: at least {tokens})"
        )
    return faults


def _extraction_faults(where: str, extraction: dict, settings: dict) -> list[str]:
    faults = _model_faults(where, extraction)
    name = extraction["model"]["name"]
    if name not in models.model_names():
        return faults
    context, tokens = models.context_length(name), settings["windows"]["size"]
    if tokens + settings["packing"]["bos"] > context:
        faults.append(
            f"{where}: windows.size: {_tokens_of_window(settings)} are more than {name} reads at "
            f"once (allowed: at most {context} tokens)"
        )
    faults += _precision_faults(where, name, extraction["precision"], settings["runtime"]["device"])
    pooling = extraction["pooling"]
    if isinstance(pooling, dict) and pooling["bin"] > settings["windows"]["size"]:
        faults.append(
            f"{where}: pooling.bin: {pooling['bin']} is more than windows.size "
            f"(allowed: 1 to {settings['windows']['size']})"
        )
    return faults


def _model_faults(where: str, extraction: dict) -> list[str]:
    name, checkpoint = extraction["model"]["name"], extraction["model"]["checkpoint"]
    if name not in models.model_names():
        return [
            f"{where}: model.name: '{name}' is not known "
            f"({_hint(name, list(models.model_names()))})"
        ]
    faults = []
    if checkpoint is not None and not Path(checkpoint).is_file():
        faults.append(f"{where}: model.checkpoint: no such file '{checkpoint}'")
    elif checkpoint is not None and not is_literal(checkpoint):
        faults.append(f"{where}: model.checkpoint: '{checkpoint}': {NOT_LITERAL}")
    try:
        extraction["layers"] = expand_layers(extraction["layers"], name)
    except InputError as error:
        return [*faults, f"{where}: layers: {error}"]
    for layer in extraction["layers"]:
        fault = models.layer_fault(name, layer)
        faults += [f"{where}: layers: '{layer}' does not exist ({fault})"] if fault else []
    return faults


def _precision_faults(where: str, name: str, precision: str, device: str) -> list[str]:
    allowed = models.precisions(name)
    if precision not in allowed:
        return [
            f"{where}: precision: {precision} is not allowed for {name} "
            f"(allowed: {', '.join(allowed)})"
        ]
    if device == "cpu" and precision != "fp32":
        return [f"{where}: precision: {precision} needs a GPU (allowed on a CPU: fp32)"]
    return []


def _tokens_of_window(settings: dict) -> str:
    bos = " and a BOS" if settings["packing"]["bos"] else ""
    return f"{settings['windows']['size']} bases{bos}"
