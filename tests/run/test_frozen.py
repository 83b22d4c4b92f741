"""The frozen settings of a run: what its jobs read, and what decides which jobs run again."""

import pytest
from evo2_embed import CODE_VERSIONS
from evo2_embed.genomes.sample_sheet import Genome
from evo2_embed.plan.bundles import Bundle
from evo2_embed.run.frozen import Run, freeze, load_frozen

FUSIONS = {"z": {"method": {"pca": 2}}, "a": {"method": "weighted", "weights": [1, 2.5]}}


@pytest.fixture
def run(complete):
    extraction = {"layers": [{"every": 4}], "pooling": {"bin": 50}, "fusion": FUSIONS}
    settings = complete(
        extractions={"b": extraction, "a": {"layers": "all"}},
        windows={"context": {"span": 500, "min": 10}},
        max_output_gb=3,
    )
    bundle = Bundle("g", (Genome("g", "g.fa"), Genome("h", "h.fa", "h.bed")), 2)
    return Run(settings, {"g": bundle})


def test_a_frozen_run_is_the_run(run):
    freeze(run, "run.yaml")
    assert load_frozen("run.yaml") == run
    assert list(load_frozen("run.yaml").settings.extractions) == list(run.settings.extractions)


def test_settings_of_an_embedding_keep_their_text(run):
    """Snakemake compares params as text, and shards are compared by these settings."""
    assert str(run.embed_settings("b")) == (
        f"{{'code': {CODE_VERSIONS['embed']}, 'cpu_threads': 1, 'extraction': {{"
        "'dtype': 'float32', 'engine': 'packed', 'kv_type': 'model', "
        "'layers': ['blocks.3', 'blocks.7'], 'model': {'name': 'evo2_tiny'}, "
        "'pooling': {'bin': 50}, 'precision': 'fp32'}}"
    )
