"""The examples in the docstrings of the library give what they show."""

import doctest
from importlib import import_module

import pytest
from runs import SCRIPTS

FILES = [path for path in SCRIPTS.rglob("evo2_embed/**/*.py") if ">>> " in path.read_text()]
MODULES = sorted(".".join(path.relative_to(SCRIPTS).with_suffix("").parts) for path in FILES)


def test_there_are_examples_of_stretches_and_segments():
    assert {"evo2_embed.chunk.stretches", "evo2_embed.pack.assign"} <= set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_examples_give_what_they_show(name):
    found = doctest.testmod(import_module(name))
    assert found.attempted > 0
    assert found.failed == 0
