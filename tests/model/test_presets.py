"""Presets of layers."""

import pytest
import yaml
from evo2_embed.io.errors import InputError
from evo2_embed.model import registry
from evo2_embed.model.presets import expand_layers, recommended_layers


def test_all_is_the_residual_stream_after_every_block():
    assert expand_layers("all", "evo2_7b") == [f"blocks.{index}" for index in range(32)]


@pytest.mark.parametrize("name", registry.model_names())
@pytest.mark.parametrize("step", [1, 2, 4, 7, 500])
def test_every_counts_back_from_the_last_block(name, step):
    blocks = registry.model_config(name)["num_layers"]
    numbers = [int(layer.split(".")[1]) for layer in expand_layers({"every": step}, name)]
    assert numbers[-1] == blocks - 1
    assert numbers == list(range(numbers[0], blocks, step))
    assert numbers[0] < step


def test_lists_mix_names_and_presets_and_name_each_layer_once():
    layers = ["norm", {"every": 4}, "blocks.3", "blocks.2.mlp.l3"]
    assert expand_layers(layers, registry.TINY) == [
        "norm",
        "blocks.3",
        "blocks.7",
        "blocks.2.mlp.l3",
    ]


def test_what_is_recommended_exists_and_says_why():
    table = recommended_layers()
    assert {"evo2_7b", "evo2_40b"} <= set(table) <= set(registry.model_names())
    for name, lines in table.items():
        assert expand_layers("recommended", name) == [line["layer"] for line in lines]
        for line in lines:
            assert registry.layer_fault(name, line["layer"]) is None
            assert line["task"]
            assert line["source"]


def test_a_model_without_recommendations_says_which_have_some():
    with pytest.raises(InputError, match="no layers for evo2_1b_base .allowed for: evo2_7b"):
        expand_layers("recommended", "evo2_1b_base")


def test_the_schema_takes_all_forms_and_explains_others(tmp_path):
    from evo2_embed.config.schema import schema_faults

    def faults(layers):
        text = yaml.safe_dump({"genomes": "g", "extractions": {"x": {"layers": layers}}})
        return schema_faults(yaml.safe_load(text))

    for good in ("all", "recommended", {"every": 4}, ["all", {"every": 2}, "norm"]):
        assert faults(good) == []
    (fault,) = faults("every")
    assert "all, recommended, {every: 1 to 512}, a list" in fault
    assert faults({"each": 2}) == [
        "extractions.x.layers: key 'every' is missing",
        "extractions.x.layers: unknown key 'each' (allowed: every)",
    ]
    assert faults([{"every": 0}]) == [
        "extractions.x.layers.0.every: 0 is out of bounds (allowed: 1 to 512)"
    ]
    assert "duplicate entry" in faults(["norm", "norm"])[0]
