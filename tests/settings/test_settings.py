"""The declaration of the configuration, and all that is made from it."""

import re

import pytest
import write_schema
import yaml
from evo2_embed.settings.extraction import Extraction
from evo2_embed.settings.schema import config_schema
from evo2_embed.settings.settings import Settings
from evo2_embed.settings.windows import Windows
from runs import CONFIG, ROOT, merged

MANUAL = ROOT / "config" / "config.yaml"
PROBE = {"labels": "labels.bed", "gap": 7}
FUSION = {"z": {"method": {"pca": 3}, "layers": {"every": 2}}, "a": {"method": "mean"}}


def paths(config, names=()):
    """Paths of all keys of a configuration; entries that a user names are NAME."""
    for key, value in config.items():
        path = (*names, "NAME" if names and names[-1] in ("extractions", "fusion") else key)
        yield path
        yield from paths(value, path) if isinstance(value, dict) else ()


def keys(schema, names=()):
    """The same of a schema; keys of an extraction's model are those of the section."""
    for key, inner in schema.get("properties", {}).items():
        path = (*names, key)
        yield path
        entries = inner.get("additionalProperties")
        yield from keys(entries, (*path, "NAME")) if entries else ()
        yield from keys(inner, path) if "default" in inner else ()


def objects(schema):
    """Every object of the schema, with its path."""
    found = [schema] if "properties" in schema else []
    for value in schema.values():
        for inner in value if isinstance(value, list) else [value]:
            found += objects(inner) if isinstance(inner, dict) else []
    return found


def test_the_schema_describes_and_bounds_every_key():
    assert len(objects(config_schema())) > 20
    for schema in objects(config_schema()):
        assert schema["additionalProperties"] is False
        for key, inner in schema["properties"].items():
            assert inner.get("description"), key
            optional = key not in schema.get("required", [])
            assert not optional or key == "model" or "default" in inner, key
            if inner.get("type") == "integer":
                assert {"minimum", "maximum"} <= set(inner), key


@pytest.mark.parametrize("path", write_schema.texts(), ids=lambda path: path.name)
def test_what_is_made_from_the_declaration_is_up_to_date(path):
    assert path.read_text() == write_schema.texts()[path], "run `make schema`"


def test_every_key_is_in_the_manual():
    text = MANUAL.read_text()
    shown = set(paths(yaml.safe_load(text)))
    sections = {path[:-1] for path in shown}
    for path in keys(config_schema()):
        # An extraction's own model, and sections that are left out, are in comments.
        commented = path[-1] == "model" or path[:-1] not in sections
        assert path in shown or (commented and re.search(rf"^ *# +{path[-1]}:", text, re.M)), path


def test_the_values_of_the_manual_are_the_defaults():
    manual = yaml.safe_load(MANUAL.read_text())
    given = {"extractions": {"default": {"layers": manual["extractions"]["default"]["layers"]}}}
    defaults = Settings.from_dict({"genomes": manual["genomes"], **given}).to_dict()
    assert Settings.from_dict(manual).to_dict() == defaults


def test_editors_find_the_schema_from_the_configuration():
    (name,) = re.findall(r"\A# yaml-language-server: \$schema=(.*)\n", MANUAL.read_text())
    assert (MANUAL.parent / name).resolve() in write_schema.texts()


@pytest.mark.parametrize(
    "config",
    [
        yaml.safe_load(MANUAL.read_text()),
        CONFIG,
        merged(CONFIG, {"windows": {"context": {"span": 500}}, "sharding": {"shards": 3}}),
        merged(CONFIG, {"probe": PROBE, "export": "finetune", "max_output_gb": 2.5}),
        merged(CONFIG, {"extractions": {"default": {"pooling": {"bin": 5}, "layers": "all"}}}),
        merged(CONFIG, {"extractions": {"b": {"layers": ["norm", {"every": 2}], "model": {}}}}),
        merged(CONFIG, {"extractions": {"default": {"fusion": FUSION}}}),
    ],
)
def test_settings_come_back_from_what_they_are_written_as(config):
    settings = Settings.from_dict(config)
    written = settings.to_dict()
    assert Settings.from_dict(written) == settings
    assert yaml.safe_load(yaml.safe_dump(written)) == written
    assert_holds(written, config)


def assert_holds(written, config):
    """Every value of the configuration stands in what was written."""
    for key, value in config.items():
        if isinstance(value, dict) and isinstance(written[key], dict):
            assert_holds(written[key], value)
        else:
            assert written[key] == value, key


def test_defaults_are_those_of_the_schema():
    def complete(schema, value):
        for key, inner in schema.get("properties", {}).items():
            value.setdefault(key, inner.get("default"))
            if isinstance(value[key], dict):
                complete(inner, value[key])
        return value

    config = {"genomes": "g.tsv", "extractions": {}}
    assert Settings.from_dict(config).to_dict() == complete(config_schema(), config)
    entry = config_schema()["properties"]["extractions"]["additionalProperties"]
    assert Extraction(layers="all").to_dict() == complete(entry, {"layers": "all"})


def test_sections_are_written_with_sorted_keys_and_named_entries_in_their_order():
    config = merged(
        CONFIG, {"extractions": {"default": {"fusion": FUSION}, "a": {"layers": "all"}}}
    )
    written = Settings.from_dict(config).to_dict()
    assert list(written["extractions"]) == ["default", "a"]
    assert list(written["extractions"]["default"]["fusion"]) == ["z", "a"]
    for section in (written, written["windows"], written["extractions"]["default"]):
        assert list(section) == sorted(section)


def test_sections_cannot_be_changed_and_share_no_values():
    windows = Windows()
    with pytest.raises(AttributeError):
        windows.size = 3
    one, other = Extraction(layers="all"), Extraction(layers="all")
    one.levels.append("contig")
    assert not other.levels
